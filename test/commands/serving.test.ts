import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { folderWith } from '../configuration/folder.ts';
import { type FakeEngine, startFakeEngine } from '../support/fake-engine.ts';
import { Pointsman } from '../support/pointsman.ts';

const anyPorts = ['--ext-proc-port=0', '--health-port=0', '--metrics-port=0', '--log-format=json'];

async function engine(): Promise<FakeEngine> {
  const started = await startFakeEngine();
  onTestFinished(() => started.close());
  return started;
}

/** The address that a door printed. */
async function addressOf(program: Pointsman, door: string): Promise<string> {
  const [, address] = await program.printed(new RegExp(`"address":"([^"]+)","msg":"${door} is listening"`));
  return address!;
}

function complete(gateway: string): Promise<Response> {
  return fetch(`http://${gateway}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'fake-model', prompt: 'Hello', max_tokens: 4 }),
  });
}

const preferScorer = `
import { defineScorer, type Scorer } from 'pointsman/scheduling';
export default defineScorer({
  defaults: { name: '' as string },
  create: ({ name }): Scorer => (_context, endpoints) => endpoints.map((each) => (each.name === name ? 1 : 0)),
});
`;

function preferring(name: string, engines: readonly FakeEngine[]): string {
  const endpoints = engines.map(({ address }, at) => `    - { name: e${at + 1}, address: "${address}" }`);
  return [
    'pool:',
    '  scrape: { intervalMs: 20 }',
    '  endpoints:',
    ...endpoints,
    'profile:',
    '  scorers:',
    '    - name: ./prefer.ts',
    `      parameters: { name: ${name} }`,
    '',
  ].join('\n');
}

describe('pointsman gateway', () => {
  it("chooses by the user's scorer, takes a new configuration while running, and stops on SIGTERM", async () => {
    const engines = [await engine(), await engine()];
    const folder = folderWith({ 'prefer.ts': preferScorer, 'pointsman.yaml': preferring('e2', engines) });
    const program = new Pointsman(['gateway', '-c', 'pointsman.yaml', '--port=0', ...anyPorts], {
      cwd: folder,
    });
    const gateway = await addressOf(program, 'gateway');
    await program.printed(/"endpoint":"e1","msg":"endpoint ready"/);
    await program.printed(/"endpoint":"e2","msg":"endpoint ready"/);

    for (let i = 0; i < 4; i++) expect((await complete(gateway)).status).toBe(200);
    expect(engines.map(({ requests }) => requests.length)).toEqual([0, 4]);

    writeFileSync(join(folder, 'pointsman.yaml'), preferring('e1', engines));
    program.child.kill('SIGHUP');
    await program.printed(/configuration reloaded/);
    for (let i = 0; i < 4; i++) expect((await complete(gateway)).status).toBe(200);
    expect(engines.map(({ requests }) => requests.length)).toEqual([4, 4]);

    writeFileSync(join(folder, 'pointsman.yaml'), 'profile: { scorers: [{ name: nothing }] }');
    program.child.kill('SIGHUP');
    await program.printed(/there is no scorer \\"nothing\\".*the last good one stays/);
    expect((await complete(gateway)).status).toBe(200);

    program.child.kill('SIGTERM');
    const { code, stderr } = await program.finished();
    expect(stderr).toContain('"msg":"stopped"');
    expect(code).toBe(0);
  });

  it('lets a request in progress finish before it stops', async () => {
    const slow = await engine();
    slow.behave(async ({ response }) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      await program.printed(/"msg":"stopping/);
      response.end(JSON.stringify({ id: '1', choices: [{ text: 'late', finish_reason: 'stop' }] }));
    });
    const program = new Pointsman(['gateway', '--endpoints', slow.address, '--port=0', ...anyPorts]);
    const gateway = await addressOf(program, 'gateway');
    await program.printed(/"msg":"endpoint ready"/);
    const answer = await complete(gateway);
    program.child.kill('SIGINT');
    expect(await answer.text()).toContain('late');
    expect((await program.finished()).code).toBe(0);
  });

  it('asks for the keys that the environment holds', async () => {
    const one = await engine();
    const folder = folderWith({
      'pointsman.yaml': `gateway: { apiKeysEnv: TEST_KEYS }\npool: { endpoints: [{ address: "${one.address}" }] }`,
    });
    const program = new Pointsman(['gateway', '-c', 'pointsman.yaml', '--port=0', ...anyPorts], {
      cwd: folder,
      env: { TEST_KEYS: 'first, second' },
    });
    const gateway = await addressOf(program, 'gateway');
    const statusWith = async (key: string) =>
      (await fetch(`http://${gateway}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status;
    expect(await statusWith('second')).toBe(200);
    expect(await statusWith('third')).toBe(401);
  });
});

describe('a key of the engines', () => {
  it('is shown to them when their models are asked for', async () => {
    const locked = createServer((request, response) => {
      const isAllowed = request.url === '/metrics' || request.headers.authorization === 'Bearer of-engines';
      response.statusCode = isAllowed ? 200 : 401;
      const models = JSON.stringify({ object: 'list', data: [{ id: 'locked-model', object: 'model' }] });
      response.end(request.url === '/metrics' ? 'vllm:num_requests_running 0\n' : models);
    });
    await new Promise<void>((listening) => locked.listen(0, '127.0.0.1', listening));
    onTestFinished(() => void locked.close());
    const address = `127.0.0.1:${(locked.address() as AddressInfo).port}`;
    const folder = folderWith({
      'pointsman.yaml': `pool: { scrape: { apiKeyEnv: ENGINE_KEY }, endpoints: [{ address: "${address}" }] }`,
    });
    const program = new Pointsman(['gateway', '-c', 'pointsman.yaml', '--port=0', ...anyPorts], {
      cwd: folder,
      env: { ENGINE_KEY: 'of-engines' },
    });
    const gateway = await addressOf(program, 'gateway');
    await program.printed(/"msg":"endpoint ready"/);
    const listed = await fetch(`http://${gateway}/v1/models`);
    expect(await listed.json()).toMatchObject({ data: [{ id: 'locked-model' }] });
    expect(program.stderr).not.toContain('of-engines');
  });
});

describe('pointsman epp', () => {
  it('serves ext-proc, health and metrics, and no HTTP gateway', async () => {
    const one = await engine();
    const program = new Pointsman(['epp', '--endpoints', one.address, ...anyPorts]);
    for (const door of ['extProc', 'health', 'metrics']) await addressOf(program, door);
    const metrics = await addressOf(program, 'metrics');
    await program.printed(/"msg":"endpoint ready"/);
    expect((await fetch(`http://${metrics}/ready`)).status).toBe(200);
    const text = await (await fetch(`http://${metrics}/metrics`)).text();
    expect(text).toContain('llm_d_epp_ready_endpoints{name="default"} 1');
    expect(program.stderr).not.toContain('gateway is listening');
    program.child.kill('SIGTERM');
    expect((await program.finished()).code).toBe(0);
  });

  it('follows a file of endpoints', async () => {
    const engines = [await engine(), await engine()];
    const list = (count: number) =>
      `endpoints:\n${engines
        .slice(0, count)
        .map(({ address }) => `  - { address: "${address}" }\n`)
        .join('')}`;
    const folder = folderWith({ 'endpoints.yaml': list(1) });
    const program = new Pointsman(['epp', '--endpoints-file', 'endpoints.yaml', ...anyPorts], {
      cwd: folder,
    });
    await program.printed(new RegExp(`"endpoint":"${engines[0]!.address}","msg":"endpoint ready"`));
    writeFileSync(join(folder, 'endpoints.yaml'), list(2));
    await program.printed(new RegExp(`"endpoint":"${engines[1]!.address}","msg":"endpoint ready"`));
  });

  it('says in one line what is wrong with the file of endpoints', async () => {
    const folder = folderWith({ 'endpoints.yaml': 'endpoints:\n  - { adress: "a:1" }\n' });
    const program = new Pointsman(['epp', '--endpoints-file', 'endpoints.yaml', ...anyPorts], {
      cwd: folder,
    });
    const { code, stderr } = await program.finished();
    expect(stderr).toMatch(/^pointsman: .*endpoints\.yaml:2:\d+: unknown key "adress"/);
    expect(code).toBe(2);
  });
});
