/**
 * Processor time that scraping a fleet costs: `npm run bench:scrape`. Engines run in another process and answer
 * with some 40 kB of vLLM's text each.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { InferencePool, startScraper } from '../../src/pool/index.ts';
import { readFlags } from '../read-flags.ts';

const { positionals } = readFlags(
  {
    command: 'npm run bench:scrape',
    what: 'Processor time of reading the metrics of ENDPOINTS (100) engines, for SECONDS (10) each way.',
    positionals: '[ENDPOINTS [SECONDS]]',
  },
  {},
);
const endpoints = Number(positionals[0] ?? 100);
const seconds = Number(positionals[1] ?? 10);

interface Engines {
  readonly ports: readonly number[];
  readonly bytes: number;
}

async function main(): Promise<void> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const child = fork(fileURLToPath(new URL(`./engines.${extension}`, import.meta.url)), [String(endpoints)]);
  const engines = await new Promise<Engines>((resolve) =>
    child.once('message', (sent) => resolve(sent as Engines)),
  );
  console.log(`${endpoints} endpoints, ${engines.bytes} bytes each, ${seconds} s\n`);
  console.log('load                  scrapes/s   cores   ms per scrape');
  for (const isBusy of [true, false]) await measure(engines, isBusy);
  stop(child);
}

/** Busy: every endpoint has a request of ours, so it is read at the shorter interval. */
async function measure({ ports }: Engines, isBusy: boolean): Promise<void> {
  const clock = () => performance.now();
  const pool = new InferencePool({ clock });
  let scrapes = 0;
  const begin = pool.beginScrape.bind(pool);
  pool.beginScrape = (endpoint) => {
    scrapes++;
    begin(endpoint);
  };
  for (const port of ports) pool.upsert({ name: `engine-${port}`, address: `127.0.0.1:${port}` });
  const scraper = startScraper({ pool, clock, random: Math.random });
  // Connections and compiled code are there before the clock starts.
  await sleep(5000);
  if (isBusy)
    for (const endpoint of pool.snapshot(clock()))
      pool.reserve(endpoint, { promptTokens: 1, uncachedTokens: 1 });
  await sleep(1000);
  const cpu = process.cpuUsage();
  const startMs = clock();
  scrapes = 0;
  await sleep(seconds * 1000);
  const { user, system } = process.cpuUsage(cpu);
  const spentMs = clock() - startMs;
  const cores = (user + system) / 1000 / spentMs;
  const perSecond = (scrapes / spentMs) * 1000;
  const name = (isBusy ? 'every endpoint busy' : 'idle').padEnd(20);
  console.log(
    `${name}  ${perSecond.toFixed(0).padStart(9)}  ${cores.toFixed(3).padStart(6)}  ${((cores * 1000) / perSecond).toFixed(3).padStart(14)}`,
  );
  await scraper.close();
}

function stop(child: ChildProcess): void {
  child.disconnect();
}

await main();
