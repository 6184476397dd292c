import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { folderWith } from '../configuration/folder.ts';
import { Pointsman, pointsman } from '../support/pointsman.ts';

/** A port that something else holds for the length of the test. */
async function busyPort(): Promise<number> {
  const server = createServer();
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('expected a TCP address');
  return address.port;
}

const freePorts = [
  '--port=0',
  '--ext-proc-port=0',
  '--health-port=0',
  '--metrics-port=0',
  '--engine-port-base=0',
];

describe('pointsman', () => {
  it('lists its commands', async () => {
    const { code, stdout } = await pointsman(['--help']);
    expect(code).toBe(0);
    for (const command of ['up', 'epp', 'gateway', 'engine', 'check'])
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  it('ends in silence when nobody reads what it prints any more', async () => {
    const run = new Pointsman(['engine', '--help']);
    run.child.stdout!.destroy();
    expect(await run.finished()).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it.each([
    ['up', '--pods <number>', '(2)'],
    ['up', '--engine-port-base <number>', '(8100)'],
    ['epp', '--ext-proc-port <number>', '(9002)'],
    ['gateway', '--port <number>', '(8080)'],
    ['engine', '--max-num-seqs <integer>', '(256)'],
    ['check', '--print-schema', ''],
  ])('%s --help tells of %s', async (command, flag, usual) => {
    const { code, stdout } = await pointsman([command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(flag);
    expect(stdout).toContain(usual);
  });

  it.each([
    [['upp'], "unknown command 'upp'"],
    [['up', '--prot', '1'], "unknown option '--prot'"],
    [['up', '--pods', 'two'], 'Expected a whole number'],
    [['up', '--pods', '0'], '--pods  expected a number of at least 1, found number 0'],
    [['gateway', '--port', '99999'], '--port  expected a number of at most 65535, found number 99999'],
    [
      ['gateway', '--endpoints', 'nowhere'],
      '--endpoints  expected `host:port` or `[ipv6]:port`, found string "nowhere"',
    ],
    [['gateway', '--config', 'missing.yaml'], 'missing.yaml  there is no such file'],
    [['up', '--model', 'missing'], 'there is no model in'],
    [['up', '--model', '.', '--config', 'missing/x.yaml'], 'missing/x.yaml  there is no such file'],
    [
      ['epp', '--tls', 'files'],
      'command line  extProc.tls.cert: tls mode `files` needs `cert`, or --tls-cert',
    ],
    [['gateway', '--config', '.'], '.  expected a YAML file, found a folder'],
    [['engine'], "missing required argument 'model'"],
    [['engine', 'missing'], 'missing does not exist'],
    [['engine', '.', '--prot', '1'], 'Run `pointsman engine --help` for its options.'],
    [
      ['simulate', '--trace', 'missing'],
      '--trace: missing cannot be used: ENOENT: no such file or directory',
    ],
    [['simulate', '--json', 'missing/x.json'], '--json: missing/x.json cannot be written'],
    [['conformance', '127.0.0.1:1', '--json', 'missing/x.json'], '--json: missing/x.json cannot be written'],
    [['engine', '.', '--max-num-seqs', 'many'], '--max-num-seqs must be a whole number'],
    [['check'], 'name the file to check'],
    [
      [
        'epp',
        '--tls-cert',
        'missing.pem',
        '--tls-key',
        'missing.pem',
        '--ext-proc-port',
        '0',
        '--health-port',
        '0',
        '--metrics-port',
        '0',
      ],
      'missing.pem, found: ENOENT: no such file or directory',
    ],
    [['epp', '--endpoints', '10.0.0.1:99999'], 'which is not in 1 to 65535'],
    [['epp', '--ext-proc-workers', '-1'], 'Expected a whole number, 0 or more, or auto'],
  ])('refuses %j with one clear message and code 2', async (args, message) => {
    const { code, stderr, stdout } = await pointsman(args);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it.each([
    ['gateway', '--port', 'gateway'],
    ['gateway', '--metrics-port', 'metrics'],
    ['epp', '--ext-proc-port', 'ext-proc'],
    ['epp', '--health-port', 'gRPC health'],
  ])('%s says that the port of %s is in use, and how to choose another', async (command, flag, owner) => {
    const port = await busyPort();
    const own = freePorts.filter((each) => !each.startsWith(`${flag}=`) && !each.startsWith('--engine'));
    const { code, stderr } = await pointsman([
      command,
      ...own.filter((each) => command === 'gateway' || !each.startsWith('--port')),
      flag,
      String(port),
    ]);
    expect(stderr).toBe(`pointsman: port ${port} is in use (${owner}); choose another with ${flag}\n`);
    expect(code).toBe(1);
  });
});

describe('pointsman up', () => {
  it('serves a GGUF file', async () => {
    const model = join(import.meta.dirname, '..', 'fixtures', 'gguf', 'llama-q8_0.gguf');
    const program = new Pointsman(['up', '--pods=1', '--model', model, ...freePorts]);
    expect(await program.printed(/is ready after[\s\S]* model +(.*)/)).toMatchObject({
      1: 'llama-q8_0.gguf',
    });
  });

  it('ends with code 2 when its engine cannot serve the model', async () => {
    const folder = folderWith({ 'config.json': '{}', 'tokenizer.json': '{}' });
    const { code, stderr } = await pointsman(['up', '--pods=1', '--model', '.', ...freePorts], folder);
    expect(stderr).toContain('engine-1 ended with code 2: ');
    expect(code).toBe(2);
  });

  it('takes paths of flags from the working folder, wherever the configuration lies', async () => {
    const folder = folderWith({});
    const elsewhere = join(folderWith({ 'pointsman.yaml': '' }), 'pointsman.yaml');
    const { stderr } = await pointsman(['up', '--model', 'mine', '--config', elsewhere], folder);
    expect(stderr).toContain(`there is no model in ${join(folder, 'mine')};`);
    const args = ['gateway', '--endpoints-file', 'mine.yaml', '--config', elsewhere];
    const gateway = await pointsman([...args, '--port=0', '--metrics-port=0'], folder);
    expect(gateway.stderr).toContain(join(folder, 'mine.yaml'));
  });
});

describe('pointsman check', () => {
  it('reports every problem with its line and column', async () => {
    const yaml = 'gateway:\n  port: x\nlog: { level: loud }\nprofile:\n  scorers:\n    - name: nothing\n';
    const { code, stdout } = await pointsman(['check', 'bad.yaml'], folderWith({ 'bad.yaml': yaml }));
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('bad.yaml:2:9  gateway.port: expected a number, found string "x"');
    expect(lines[1]).toMatch(/^bad\.yaml:3:15 {2}log\.level: expected one of error, /);
    expect(lines[2]).toMatch(/^bad\.yaml:6:13 {2}profile\.scorers\[0\]\.name: there is no scorer "nothing"/);
    expect(lines.slice(3)).toEqual(['3 problems in bad.yaml']);
    expect(code).toBe(2);
  });

  it("loads a user's scorer in TypeScript from a folder outside the repository", async () => {
    const folder = folderWith({
      'mine.ts': `
        import { defineScorer, type Scorer } from 'pointsman/scheduling';
        export default defineScorer({
          description: 'Mine.',
          defaults: { factor: 2 as number },
          create: ({ factor }): Scorer => (_context, endpoints) => endpoints.map(() => 1 / factor),
        });`,
      'good.yaml':
        'profile:\n  scorers:\n    - name: ./mine.ts\n      weight: 5\n      parameters: { factor: 4 }\n',
    });
    const { code, stdout } = await pointsman(['check', join(folder, 'good.yaml')]);
    expect(stdout).toContain('scorer    5 x mine {factor: 4}  Mine.');
    expect(code).toBe(0);
  });

  it('prints the JSON Schema', async () => {
    const { code, stdout } = await pointsman(['check', '--print-schema']);
    expect(JSON.parse(stdout)).toMatchObject({ title: 'Pointsman configuration' });
    expect(code).toBe(0);
  });
});

describe('pointsman epp', () => {
  it('takes a certificate by flags, and says which half is missing', async () => {
    const folder = folderWith({ 'tls.crt': 'no certificate', 'tls.key': 'no key' });
    const cert = join(folder, 'tls.crt');
    const half = await pointsman(['epp', '--endpoints', '127.0.0.2:8000', '--tls-cert', cert]);
    expect(half.code).toBe(2);
    expect(half.stderr).toContain('tls mode `files` needs `key`');

    const ports = ['--ext-proc-port=0', '--health-port=0', '--metrics-port=0'];
    const files = ['--tls-cert', cert, '--tls-key', join(folder, 'tls.key')];
    const bad = await pointsman(['epp', '--endpoints', '127.0.0.2:8000', ...ports, ...files]);
    expect(bad.code).toBe(2);
    expect(bad.stderr).toContain(`expected a PEM certificate in ${cert}`);
  });
});
