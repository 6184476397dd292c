import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import {
  ConfigurationError,
  configurationJsonSchema,
  type LoadOptions,
  loadConfiguration,
} from '../../src/configuration/index.ts';
import { folderWith } from './folder.ts';

const repository = join(import.meta.dirname, '..', '..');

async function load(yaml: string, options: LoadOptions = {}) {
  const file = join(folderWith({ 'pointsman.yaml': yaml }), 'pointsman.yaml');
  return loadConfiguration({ ...options, file });
}

/** Every problem as `line:column path: message`. */
async function problemsOf(yaml: string, options: LoadOptions = {}): Promise<string[]> {
  const error = await load(yaml, options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) return [];
  if (!(error instanceof ConfigurationError)) throw error;
  return error.problems.map(({ position, path, message }) =>
    [position && `${position.line}:${position.column}`, path && `${path}:`, message]
      .filter(Boolean)
      .join(' '),
  );
}

describe('a configuration', () => {
  it('is complete without a file', async () => {
    const { configuration, profile, file } = await loadConfiguration();
    expect(file).toBeUndefined();
    expect(configuration.gateway.port).toBe(8080);
    expect(configuration.extProc).toMatchObject({ enabled: true, port: 9002, fallbacks: 0 });
    expect(profile.scorers.map(({ name, weight }) => [name, weight])).toEqual([['shadow-price', 1]]);
    expect(configuration.flowControl.enabled).toBe(true);
    expect(profile.filters.map(({ name }) => name)).toEqual(['ready', 'model', 'lora-capacity']);
    expect(profile.picker.name).toBe('max-score');
  });

  it('is frozen to the bottom', async () => {
    const { configuration } = await loadConfiguration();
    expect(Object.isFrozen(configuration.gateway.timeouts)).toBe(true);
    expect(Object.isFrozen(configuration.profile.scorers)).toBe(true);
  });

  it('takes flags over the file and the file over the defaults', async () => {
    const overrides = [{ path: ['gateway', 'port'], value: 8082, flag: '--port' }];
    const { configuration } = await load('gateway: { port: 8081, host: 0.0.0.0 }', { overrides });
    expect(configuration.gateway).toMatchObject({ port: 8082, host: '0.0.0.0', maxBodyBytes: 33554432 });
  });

  it.each([
    ['an empty file', ''],
    ['a file of comments', '# nothing\n'],
    ['sections without values', 'gateway:\nup:\n'],
    ['an alias', 'gateway: &local { host: localhost }\nmetrics: *local'],
  ])('accepts %s', async (_what, yaml) => {
    expect(await problemsOf(yaml)).toEqual([]);
  });

  it('keeps the published schema in step with the code', () => {
    const published = JSON.parse(readFileSync(join(repository, 'config', 'pointsman.schema.json'), 'utf8'));
    expect(published, 'write it with: npm run schema').toEqual(configurationJsonSchema());
  });

  it('accepts the example file, which shows every section', async () => {
    const { configuration } = await loadConfiguration({ file: join(repository, 'config', 'pointsman.yaml') });
    expect(configuration.pool.endpoints).toHaveLength(2);
    const text = readFileSync(join(repository, 'config', 'pointsman.yaml'), 'utf8');
    for (const section of Object.keys(configuration)) expect(text).toContain(`\n${section}:`);
  });

  it('demands the variable that holds the API keys', async () => {
    const yaml = 'gateway:\n  apiKeysEnv: POINTSMAN_TEST_KEYS';
    expect(await problemsOf(yaml)).toEqual([
      '2:15 gateway.apiKeysEnv: the environment variable POINTSMAN_TEST_KEYS is not set; it must hold the API keys',
    ]);
    for (const text of ['', ' ', ',', ' , ,']) {
      vi.stubEnv('POINTSMAN_TEST_KEYS', text);
      expect(await problemsOf(yaml), text).toEqual([
        '2:15 gateway.apiKeysEnv: the environment variable POINTSMAN_TEST_KEYS holds none; it must hold the API keys',
      ]);
    }
    vi.stubEnv('POINTSMAN_TEST_KEYS', 'one,two');
    expect(await problemsOf(yaml)).toEqual([]);
    vi.unstubAllEnvs();
    expect(await problemsOf('pool:\n  scrape: { apiKeyEnv: POINTSMAN_TEST_KEYS }')).toEqual([
      "2:24 pool.scrape.apiKeyEnv: the environment variable POINTSMAN_TEST_KEYS is not set; it must hold the engines' key",
    ]);
  });
});

describe('a mistake', () => {
  it.each([
    ['gateway: 5', '1:10 gateway: expected a map of keys, found number 5'],
    ['gateway: []', '1:10 gateway: expected a map of keys, found a list'],
    ['gateway:\n  port: "8080"', '2:9 gateway.port: expected a number, found string "8080"'],
    ['gateway:\n  port: 1.5', '2:9 gateway.port: expected a whole number, found number 1.5'],
    ['gateway:\n  port: 65536', '2:9 gateway.port: expected a number of at most 65535, found number 65536'],
    ['gateway:\n  port: -1', '2:9 gateway.port: expected a number of at least 0, found number -1'],
    [
      'gateway: { timeouts: { idleMs: 0 } }',
      '1:32 gateway.timeouts.idleMs: expected a number above 0, found number 0',
    ],
    ['gateway:\n  host: ""', '2:9 gateway.host: must not be empty'],
    ['extProc: { enabled: maybe }', '1:21 extProc.enabled: expected true or false, found string "maybe"'],
    [
      'log: { level: warning }',
      '1:15 log.level: expected one of error, warn, info, debug, silent, found string "warning"',
    ],
    [
      'pool:\n  endpoints:\n    - address: nowhere',
      '3:16 pool.endpoints[0].address: expected `host:port` or `[ipv6]:port`, found string "nowhere"',
    ],
    [
      'pool: { endpoints: [{ address: "10.0.0.1:99999" }] }',
      '1:32 pool.endpoints[0].address: address "10.0.0.1:99999" has the port "99999", which is not in 1 to 65535; expected host:port, 1.2.3.4:port or [ipv6]:port',
    ],
    ['pool: { endpoints: [{ address: "10.0.0:80" }] }', 'which is neither a name nor an IP address'],
    [
      'flowControl: { ttlMsByPriority: { high: 1 } }',
      '1:41 flowControl.ttlMsByPriority.high: expected a priority as the key, such as -10, found string "high"',
    ],
    ['pool:\n  endpoints:\n    - name: a', '3:7 pool.endpoints[0].address: missing; expected a string'],
    [
      'objectives:\n  batch: low',
      '2:10 objectives.batch: expected a number or a map of keys, found string "low"',
    ],
    [
      'objectives: { chat: { ttftMs: 0 } }',
      '1:31 objectives.chat.ttftMs: expected a number above 0, found number 0',
    ],
    [
      'objectives: { chat: { ttft: 100 } }',
      'objectives.chat: unknown key "ttft". Did you mean "ttftMs"? Known keys: priority, ttftMs, tpotMs, strict.',
    ],
    ['extProc:\n  tls: { mode: files, cert: a.pem }', '2:8 extProc.tls.key: tls mode `files` needs `key`'],
    ['up: 1\nlog: *none', '2:6 expected an anchor &none before *none, found none'],
    ['gateway: &own\n  timeouts: *own', '2:13 *own stands inside of what &own names'],
    [
      `a: &a [${'x,'.repeat(99)}]\nb: &b [${'*a,'.repeat(99)}]\nc: [${'*b,'.repeat(99)}]`,
      'Excessive alias count',
    ],
    ['up: {}\n---\nlog: {}', '2:1 expected one document, found another one after `---`'],
    ['foo: 1', '1:1 unknown key "foo". Known keys: gateway,'],
    ['gateway: { port: 9090 }', 'metrics.port: port 9090 is already the port of `gateway`'],
    [
      'pool: { endpoints: [{ address: "a:1" }, { address: "a:1" }] }',
      '1:41 pool.endpoints[1]: a second endpoint named "a:1"',
    ],
  ])('%j is told as %s', async (yaml, told) => {
    const problems = await problemsOf(yaml);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(told);
  });

  it('in a key names the nearest key and all known ones', async () => {
    expect(await problemsOf('gateway:\n  prot: 1')).toEqual([
      '2:3 gateway: unknown key "prot". Did you mean "port"? Known keys: host, port, maxBodyBytes, maxConcurrentRequests, timeouts, explain, apiKeysEnv.',
    ]);
  });

  it('does not hide another: all are told, in the order of the file', async () => {
    const yaml = [
      'gatway: {}',
      'gateway:',
      '  port: x',
      'profile:',
      '  filters:',
      '    - name: redy',
      '  scorers:',
      '    - name: prefix-cach',
      '      weight: -1',
      '    - name: queue-depth',
      '      parameters: { half: 3, halfAtRequests: many }',
      'log: { level: loud }',
    ].join('\n');
    const problems = await problemsOf(yaml);
    expect(problems.map((text) => text.split(' ')[0])).toEqual([
      '1:1',
      '3:9',
      '6:13',
      '8:13',
      '9:15',
      '11:21',
      '11:46',
      '12:15',
    ]);
  });

  it.each([
    ['a: [1, 2\nb: 3', 2],
    ['gateway: {port: 1', 1],
    ['gateway:\n\tport: 1', 2],
    ['log: {}\nlog: {}', 2],
  ])('of syntax in %j is told with its line', async (yaml, line) => {
    const problems = await problemsOf(yaml);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems[0]).toMatch(new RegExp(`^${line}:\\d+ `));
  });

  it('in a flag names the flag', async () => {
    const overrides = [{ path: ['gateway', 'port'], value: 99999, flag: '--port' }];
    await expect(loadConfiguration({ overrides })).rejects.toThrow(
      '--port  expected a number of at most 65535, found number 99999',
    );
  });

  it('in the name of the file is told in one line', async () => {
    await expect(loadConfiguration({ file: 'missing.yaml' })).rejects.toThrow(
      'missing.yaml  there is no such file',
    );
  });
});
