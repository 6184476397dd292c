import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { folderWith } from '../configuration/folder.ts';
import { startFakeEngine } from '../support/fake-engine.ts';
import { Pointsman, pointsman } from '../support/pointsman.ts';

const preferring = (name: string) => `
import { defineScorer, type Scorer } from 'pointsman/scheduling';
export default defineScorer({
  create: (): Scorer => (_context, endpoints) => endpoints.map((each) => (each.name === '${name}' ? 1 : 0)),
});
`;

it('records what a gateway decides, and replays it with another configuration', async () => {
  const engines = [await startFakeEngine(), await startFakeEngine()];
  for (const engine of engines) onTestFinished(() => engine.close());
  const pool = engines
    .map(({ address }, at) => `    - { name: e${at + 1}, address: "${address}" }`)
    .join('\n');
  const profile = (scorer: string) => `profile: { scorers: [{ name: ./${scorer}.ts }] }\n`;
  const folder = folderWith({
    'first.ts': preferring('e1'),
    'second.ts': preferring('e2'),
    'today.yaml': `pool:\n  scrape: { intervalMs: 20 }\n  endpoints:\n${pool}\ndecisions: { served: true }\n${profile('first')}`,
    'tomorrow.yaml': profile('second'),
  });
  const ports = ['--port=0', '--metrics-port=0', '--log-format=json'];
  const program = new Pointsman(['gateway', '-c', 'today.yaml', '--decision-log', 'all.jsonl', ...ports], {
    cwd: folder,
  });
  const addressOf = async (door: string) =>
    (await program.printed(new RegExp(`"address":"([^"]+)","msg":"${door} is listening"`)))[1]!;
  const [gateway, metrics] = [await addressOf('gateway'), await addressOf('metrics')];
  for (const name of ['e1', 'e2'])
    await program.printed(new RegExp(`"endpoint":"${name}","msg":"endpoint ready"`));
  const send = async () => {
    const answer = await fetch(`http://${gateway}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer secret' },
      body: JSON.stringify({ model: 'fake-model', prompt: 'a secret prompt', max_tokens: 2 }),
    });
    expect(answer.status).toBe(200);
  };
  for (let i = 0; i < 3; i++) await send();

  const served = await (await fetch(`http://${metrics}/decisions?limit=2`)).text();
  expect(served.trim().split('\n')).toHaveLength(2);
  const leaving = new AbortController();
  const following = await fetch(`http://${metrics}/decisions?limit=0&follow`, { signal: leaving.signal });
  const reader = following.body!.pipeThrough(new TextDecoderStream()).getReader();
  await send();
  const { value: followed } = await reader.read();
  expect(JSON.parse(followed!)).toMatchObject({ version: 1, result: { ranking: ['e1', 'e2'] } });
  leaving.abort();

  program.child.kill('SIGTERM');
  expect((await program.finished()).code).toBe(0);
  const records = readFileSync(join(folder, 'all.jsonl'), 'utf8');
  expect(records.trim().split('\n')).toHaveLength(4);
  expect(records).not.toContain('secret');

  const same = await pointsman(['replay', 'all.jsonl', '--config', 'today.yaml'], folder);
  expect([same.code, same.stdout.split('\n')[0]]).toEqual([0, '0 of 4 picks differ: 0.0 %']);
  const other = await pointsman(['replay', 'all.jsonl', '--config', 'tomorrow.yaml', '--show', '1'], folder);
  expect(other.code).toBe(0);
  expect(other.stdout).toContain('4 of 4 picks differ: 100.0 %\n       4  e1 -> e2\n');
  expect(other.stdout).toMatch(/1 x second\s+0\s+1\n/);
  const lines = await pointsman(
    ['replay', 'all.jsonl', '-c', 'tomorrow.yaml', '--json', '--warm-up', '3'],
    folder,
  );
  const [difference, summary] = lines.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(difference).toMatchObject({ before: 'e1', after: 'e2' });
  expect(summary).toMatchObject({ summary: { picks: 1, different: 1, moves: { 'e1 -> e2': 1 } } });

  writeFileSync(join(folder, 'broken.jsonl'), `${records}{"version":1}\n`);
  const broken = await pointsman(['replay', 'broken.jsonl', '-c', 'today.yaml'], folder);
  expect([broken.code, broken.stderr]).toEqual([2, expect.stringContaining('broken.jsonl:5: ')]);
  const empty = await pointsman(['replay', '/dev/null', '-c', 'today.yaml'], folder);
  expect([empty.code, empty.stderr]).toEqual([
    2,
    expect.stringContaining('there are no decision records in it'),
  ]);
});

it('tells at start that the file cannot be written, and that secrets are not recorded', async () => {
  const args = ['gateway', '--port=0', '--metrics-port=0', '--decision-log', '/nowhere/decisions.jsonl'];
  const { code, stderr } = await pointsman(args);
  expect([code, stderr]).toEqual([2, expect.stringContaining('the decision log cannot be written: ENOENT')]);
  const folder = folderWith({ 'pointsman.yaml': 'decisions: { headers: [x-own, cookie] }\n' });
  const checked = await pointsman(['check', 'pointsman.yaml'], folder);
  expect(checked.code).toBe(2);
  expect(checked.stdout).toContain('decisions.headers[1]: cookie holds a secret, which is not recorded');
});
