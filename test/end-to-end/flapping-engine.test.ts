import { describe, expect, it, onTestFinished } from 'vitest';
import { installedEnvoys } from '../../bench/envoy/installed-envoys.ts';
import { startEnvoy } from '../../bench/envoy/run-envoy.ts';
import { folderWith } from '../configuration/folder.ts';
import {
  answerWith,
  type Behaviour,
  type FakeEngine,
  hangUp,
  startFakeEngine,
} from '../support/fake-engine.ts';
import { Pointsman } from '../support/pointsman.ts';

const [installed] = installedEnvoys();

/** So that the first endpoint would get every request. */
const preferFirst = `
import { defineScorer } from 'pointsman/scheduling';
export default defineScorer({
  defaults: {},
  create: () => (_context, endpoints) => endpoints.map(({ name }) => (name === 'e0' ? 1 : 0)),
});
`;

interface Served {
  readonly engines: readonly FakeEngine[];
  readonly program: Pointsman;
  /** Base URL of the door under test. */
  readonly url: string;
  metric(name: string): Promise<string[]>;
}

/** One process with both doors in front of two engines, and a real Envoy in front of ext-proc if it is asked for. */
async function serve(door: 'gateway' | 'ext-proc'): Promise<Served> {
  const engines = await Promise.all([startFakeEngine(), startFakeEngine()]);
  onTestFinished(async () => void (await Promise.all(engines.map((each) => each.close()))));
  const endpoints = engines.map(({ address }, at) => `    - { name: e${at}, address: "${address}" }\n`);
  const folder = folderWith({
    'prefer-first.ts': preferFirst,
    'pointsman.yaml': `pool:\n  scrape: { intervalMs: 20 }\n  endpoints:\n${endpoints.join('')}profile:\n  scorers: [{ name: ./prefer-first.ts }]\n`,
  });
  const program = new Pointsman(
    ['gateway', '--ext-proc', '-c', 'pointsman.yaml', '--log-format=json', ...anyPorts],
    { cwd: folder },
  );
  const addressOf = async (name: string) =>
    (await program.printed(new RegExp(`"address":"([^"]+)","msg":"${name} is listening"`)))[1]!;
  const gateway = await addressOf('gateway');
  for (const name of ['e0', 'e1'])
    await program.printed(new RegExp(`"endpoint":"${name}","msg":"endpoint ready"`));
  const metric = async (name: string) => {
    const text = await (await fetch(`http://${gateway}/metrics`)).text();
    return text.split('\n').filter((line) => line.startsWith(`${name}{`));
  };
  if (door === 'gateway') return { engines, program, url: `http://${gateway}`, metric };
  const extProc = await addressOf('extProc');
  const envoy = await startEnvoy({
    envoy: installed!,
    config: 'standalone',
    extProcPorts: [Number(extProc.slice(extProc.lastIndexOf(':') + 1))],
    enginePorts: engines.map(({ port }) => port),
  });
  onTestFinished(() => envoy.close());
  return { engines, program, url: envoy.url, metric };
}

const anyPorts = ['--port=0', '--ext-proc-port=0', '--health-port=0', '--metrics-port=0'];

async function complete(url: string): Promise<number> {
  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'fake-model', prompt: 'Hello', max_tokens: 2 }),
  });
  await answer.arrayBuffer();
  return answer.status;
}

const errors: Behaviour = answerWith(500, '{"error":{"message":"broken"}}');

describe.each(['gateway', 'ext-proc'] as const)('an engine that flaps behind %s', (door) => {
  // Behind ext-proc a real Envoy sends the requests.
  it.skipIf(door === 'ext-proc' && installed === undefined).each([
    ['errors', errors],
    ['connection', hangUp],
  ] as const)('is ejected for %s, tried, and taken back when it is well', async (cause, behaviour) => {
    const { engines, program, url, metric } = await serve(door);
    const [flapping, well] = engines;
    expect(await complete(url)).toBe(200);
    expect(flapping!.requests).toHaveLength(1);

    flapping!.behave(behaviour);
    const ejected = new RegExp(`"endpoint":"e0","cause":"${cause}".*"msg":"endpoint ejected"`);
    while (!ejected.test(program.stderr)) await complete(url);
    // Scrapes go on to succeed, so only requests can show that it is ill still: it is tried again and again.
    while ((program.stderr.match(new RegExp(ejected, 'g')) ?? []).length < 2) await complete(url);
    // A first broken connection is forgiven with the next scrape, which may come before the next request.
    while ((await complete(url)) !== 200);
    const failed = flapping!.requests.length;
    expect(well!.requests.length).toBeGreaterThan(0);
    expect(program.stderr).not.toContain('"msg":"endpoint restored"');
    const [ejections] = await metric('pointsman_endpoint_ejections_total');
    expect(ejections).toMatch(new RegExp(`endpoint="e0",cause="${cause}"} [2-9]`));

    flapping!.behave(undefined);
    while (!program.stderr.includes('"msg":"endpoint restored"')) await complete(url);
    for (let i = 0; i < 5; i++) expect(await complete(url)).toBe(200);
    expect(flapping!.requests.length).toBeGreaterThanOrEqual(failed + 5);
    expect(await metric('pointsman_endpoint_restorations_total')).toEqual([
      'pointsman_endpoint_restorations_total{endpoint="e0"} 1',
    ]);
  });
});
