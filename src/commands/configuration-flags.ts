import { resolve } from 'node:path';
import type { Command } from 'commander';
import { configurationSchema, type LoadOptions, type Override } from '../configuration/index.ts';
import { numberOrAuto, wholeNumber } from './flag-values.ts';

/** A flag that sets values of the configuration. The schema judges the value; here it only gets a type. */
interface ConfigurationFlag {
  /** As in `--help`. */
  readonly flags: string;
  readonly description: string;
  readonly paths: readonly (readonly string[])[];
  readonly parse?: (text: string) => unknown;
}

const configurationFlags = {
  host: {
    flags: '--host <address>',
    description: 'address that every server listens on; 0.0.0.0 for all',
    paths: [
      ['gateway', 'host'],
      ['extProc', 'host'],
      ['health', 'host'],
      ['metrics', 'host'],
    ],
  },
  port: {
    flags: '--port <number>',
    description: 'port of the HTTP gateway',
    paths: [['gateway', 'port']],
    parse: wholeNumber,
  },
  extProcPort: {
    flags: '--ext-proc-port <number>',
    description: 'port of ext-proc gRPC',
    paths: [['extProc', 'port']],
    parse: wholeNumber,
  },
  extProcWorkers: {
    flags: '--ext-proc-workers <number>',
    description: 'processes that serve ext-proc streams, or auto; 0 serves them in this one',
    paths: [['extProc', 'workers']],
    parse: numberOrAuto,
  },
  tls: {
    flags: '--tls <mode>',
    description: 'of ext-proc: self-signed, files or off',
    paths: [['extProc', 'tls', 'mode']],
  },
  tlsCert: {
    flags: '--tls-cert <file>',
    description: 'PEM certificate of ext-proc, read again when it changes',
    paths: [['extProc', 'tls', 'cert']],
    parse: resolvedPath,
  },
  tlsKey: {
    flags: '--tls-key <file>',
    description: 'PEM key of that certificate',
    paths: [['extProc', 'tls', 'key']],
    parse: resolvedPath,
  },
  healthPort: {
    flags: '--health-port <number>',
    description: 'port of gRPC health',
    paths: [['health', 'port']],
    parse: wholeNumber,
  },
  metricsPort: {
    flags: '--metrics-port <number>',
    description: 'port of /metrics, /health and /ready',
    paths: [['metrics', 'port']],
    parse: wholeNumber,
  },
  drainDelay: {
    flags: '--drain-delay <ms>',
    description: 'how long to serve on after SIGTERM, until everyone has heard that this is not ready',
    paths: [['shutdown', 'drainDelayMs']],
    parse: wholeNumber,
  },
  endpoints: {
    flags: '--endpoints <list>',
    description: 'engines to choose from, host:port,host:port; replaces pool.endpoints',
    paths: [['pool', 'endpoints']],
    parse: endpointList,
  },
  endpointsFile: {
    flags: '--endpoints-file <path>',
    description: 'file with the list of engines, watched; replaces pool.file',
    paths: [['pool', 'file']],
    parse: resolvedPath,
  },
  decisionLog: {
    flags: '--decision-log <file>',
    description: 'append each decision to this file as JSON Lines, for `pointsman replay`',
    paths: [['decisions', 'file']],
    parse: resolvedPath,
  },
  pods: {
    flags: '--pods <number>',
    description: 'engines to start',
    paths: [['up', 'pods']],
    parse: wholeNumber,
  },
  model: {
    flags: '--model <folder>',
    description: 'model folder or .gguf file that the engines serve (the bundled small model)',
    paths: [['up', 'model']],
    parse: resolvedPath,
  },
  enginePortBase: {
    flags: '--engine-port-base <number>',
    description: 'port of the first engine; the next take the following ones',
    paths: [['up', 'enginePortBase']],
    parse: wholeNumber,
  },
  logLevel: {
    flags: '--log-level <level>',
    description: 'error, warn, info, debug or silent',
    paths: [['log', 'level']],
  },
  logFormat: {
    flags: '--log-format <format>',
    description: 'json, pretty, or auto: pretty on a terminal',
    paths: [['log', 'format']],
  },
} as const satisfies Record<string, ConfigurationFlag>;

export type FlagName = keyof typeof configurationFlags;

/** Adds `--config` and the named flags, each with its default in the help. */
export function addConfigurationFlags(command: Command, names: readonly FlagName[]): Command {
  const defaults = configurationSchema.parse({});
  command.option('-c, --config <file>', 'configuration file, YAML; flags beat it, it beats the defaults');
  for (const name of names) {
    const flag: ConfigurationFlag = configurationFlags[name];
    const usual = valueAt(defaults, flag.paths[0]!);
    const isShown = typeof usual === 'string' || typeof usual === 'number';
    const description = isShown ? `${flag.description} (${usual})` : flag.description;
    if (flag.parse === undefined) command.option(flag.flags, description);
    else command.option(flag.flags, description, flag.parse);
  }
  return command;
}

/** What the user gave, for `loadConfiguration`. */
export function loadOptionsOf(given: object): LoadOptions {
  const options = given as Readonly<Record<string, unknown>>;
  const overrides: Override[] = [];
  for (const [name, { flags, paths }] of Object.entries(configurationFlags)) {
    const value = options[name];
    if (value === undefined) continue;
    for (const path of paths) overrides.push({ path, value, flag: flags.split(' ')[0]! });
  }
  const hasFiles = options['tlsCert'] !== undefined || options['tlsKey'] !== undefined;
  if (hasFiles && options['tls'] === undefined) {
    overrides.push({ path: ['extProc', 'tls', 'mode'], value: 'files', flag: '--tls-cert' });
  }
  const file = options['config'];
  return { overrides, ...(typeof file === 'string' ? { file } : {}) };
}

/** From the working folder; in a file, paths start at the file's. */
function resolvedPath(text: string): string {
  return resolve(text);
}

function endpointList(text: string): readonly { readonly address: string }[] {
  return text.split(',').map((address) => ({ address: address.trim() }));
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}
