/**
 * How long `/health` of an engine takes while it reads a long prompt: `npm run bench:health`. Every engine is a
 * fresh process, so that the first prompt meets cold code; the answers are polled every 5 ms.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    starts: { type: 'string', default: '5' },
    prompts: { type: 'string', default: '3' },
    characters: { type: 'string', default: '21000' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log('usage: node dist/bench/health/main.js [--starts 5] [--prompts 3] [--characters 21000]');
  process.exit(0);
}

const pollMs = 5;
const model = 'mini';
const repository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

async function main(): Promise<void> {
  console.log('| start | prompt | tokens | answer ms | /health answers | p50 ms | p99 | max |');
  console.log('|---|---|---|---|---|---|---|---|');
  let worst = 0;
  for (let start = 1; start <= Number(values.starts); start++) {
    const port = await freePort();
    const engine = await startEngine(port);
    try {
      for (let prompt = 1; prompt <= Number(values.prompts); prompt++) {
        const { tokens, answerMs, healthMs } = await measure(port, start * 100 + prompt);
        const max = healthMs.at(-1) ?? 0;
        worst = Math.max(worst, max);
        const cells = [start, prompt, tokens, answerMs.toFixed(0), healthMs.length];
        const times = [percentile(healthMs, 0.5), percentile(healthMs, 0.99), max];
        console.log(`| ${[...cells, ...times.map((ms) => ms.toFixed(1))].join(' | ')} |`);
      }
    } finally {
      engine.kill('SIGTERM');
      await once(engine, 'exit');
    }
  }
  console.log(`\nslowest answer of /health: ${worst.toFixed(1)} ms`);
}

async function startEngine(port: number): Promise<ChildProcess> {
  const engine = spawn(
    process.execPath,
    [
      repository('dist/src/commands/main.js'),
      ...['engine', repository('config/models/pointsman-mini'), '--served-model-name', model],
      ...['--port', String(port), '--max-model-len', '4096'],
    ],
    { stdio: ['ignore', 'ignore', 'ignore'] },
  );
  while (!(await isHealthy(port))) {
    if (engine.exitCode !== null) throw new Error(`the engine ended with code ${engine.exitCode}`);
    await sleep(20);
  }
  // The client's own code is warm before anything is timed.
  for (let i = 0; i < 50; i++) await isHealthy(port);
  return engine;
}

async function isHealthy(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/health`).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** One prompt, and all times of `/health` until its answer is there, ascending. */
async function measure(port: number, seed: number) {
  const url = `http://127.0.0.1:${port}`;
  const sentMs = performance.now();
  let answerMs: number | undefined;
  const answered = fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: longPrompt(Number(values.characters), seed), max_tokens: 4 }),
  }).then(async (response) => {
    const body = (await response.json()) as { readonly usage?: { readonly prompt_tokens: number } };
    answerMs = performance.now() - sentMs;
    if (body.usage === undefined) throw new Error(`the engine answered ${JSON.stringify(body)}`);
    return body.usage.prompt_tokens;
  });
  const healthMs: number[] = [];
  while (answerMs === undefined) {
    const askedMs = performance.now();
    const response = await fetch(`${url}/health`);
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`/health says ${response.status}`);
    healthMs.push(performance.now() - askedMs);
    await sleep(pollMs);
  }
  return { tokens: await answered, answerMs, healthMs: healthMs.sort((a, b) => a - b) };
}

/** Words in random order: no prompt begins like another, so nothing is cached. */
function longPrompt(characters: number, seed: number): string {
  const words =
    'a prefix cache keeps blocks of keys and values that requests share while the router picks'.split(' ');
  let state = seed;
  let text = '';
  while (text.length < characters) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    text += `${words[(state >> 8) % words.length]} `;
  }
  return text;
}

function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.floor((ascending.length - 1) * share)] ?? Number.NaN;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return address.port;
}

await main();
