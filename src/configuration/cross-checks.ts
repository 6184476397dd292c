import { parseAddress } from '../protocol/address.ts';
import { secretHeaders } from '../protocol/headers.ts';
import { apiKeysIn } from './api-keys.ts';
import type { Configuration } from './schema.ts';
import type { SchemaProblem } from './schema-problems.ts';

/** What the schema does not show: two servers on one port, two endpoints with one name, a port that cannot be. */
export function crossChecks(configuration: Configuration): SchemaProblem[] {
  return [
    ...samePorts(configuration),
    ...wrongAddresses(configuration),
    ...sameEndpoints(configuration),
    ...missingKeys(configuration),
    ...recordedSecrets(configuration),
  ];
}

function samePorts({ gateway, extProc, health, metrics }: Configuration): SchemaProblem[] {
  const sections = { gateway, ...(extProc.enabled ? { extProc } : {}), health, metrics };
  const owners = new Map<number, string>();
  const problems: SchemaProblem[] = [];
  for (const [section, { port }] of Object.entries(sections)) {
    const owner = owners.get(port);
    if (port !== 0 && owner !== undefined)
      problems.push(problem([section, 'port'], `port ${port} is already the port of \`${owner}\``));
    owners.set(port, section);
  }
  return problems;
}

function wrongAddresses({ pool }: Configuration): SchemaProblem[] {
  return pool.endpoints.flatMap(({ address }, at) => {
    try {
      parseAddress(address);
      return [];
    } catch (error) {
      return [problem(['pool', 'endpoints', at, 'address'], (error as Error).message)];
    }
  });
}

function sameEndpoints({ pool }: Configuration): SchemaProblem[] {
  const names = new Set<string>();
  return pool.endpoints.flatMap(({ name, address }, at) => {
    const own = name ?? address;
    const isTaken = names.has(own);
    names.add(own);
    return isTaken ? [problem(['pool', 'endpoints', at], `a second endpoint named "${own}"`)] : [];
  });
}

function missingKeys({ gateway, pool }: Configuration): SchemaProblem[] {
  return [
    ...missingKey(['gateway', 'apiKeysEnv'], gateway.apiKeysEnv, 'the API keys'),
    ...missingKey(['pool', 'scrape', 'apiKeyEnv'], pool.scrape.apiKeyEnv, "the engines' key"),
  ];
}

function missingKey(path: readonly string[], name: string | undefined, what: string): SchemaProblem[] {
  if (name === undefined || apiKeysIn(name).length > 0) return [];
  const state = process.env[name] === undefined ? 'is not set' : 'holds none';
  return [problem([...path], `the environment variable ${name} ${state}; it must hold ${what}`)];
}

function recordedSecrets({ decisions }: Configuration): SchemaProblem[] {
  return decisions.headers.flatMap((name, at) =>
    secretHeaders.includes(name)
      ? [problem(['decisions', 'headers', at], `${name} holds a secret, which is not recorded`)]
      : [],
  );
}

function problem(path: SchemaProblem['path'], message: string): SchemaProblem {
  return { path, unknownKey: undefined, message };
}
