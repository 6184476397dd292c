import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../src/scheduling/seeded-random.ts';
import { runClosedLoop } from '../load/closed-loop.ts';
import { type LoadSample, sampleLoads } from '../load/load-samples.ts';
import { type LoadResults, runOpenLoop } from '../load/open-loop.ts';
import { createPrompts, type Prompt } from '../load/prompts.ts';
import { createStreamClient, type StreamResult } from '../load/stream-client.ts';
import { prefixCounters, type RunningProcess, startGateway } from './processes.ts';
import { othersShare, processorTime } from './processor-time.ts';
import type { LiveProfile } from './profiles.ts';
import { vocabulary } from './vocabulary.ts';

export interface Workload {
  readonly tenants: number;
  readonly sharedPrefixTokens: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

export interface Targets {
  readonly ttftMs: number;
  readonly tpotMs: number;
}

export interface CellOptions {
  readonly profile: LiveProfile;
  readonly engines: readonly RunningProcess[];
  readonly workload: Workload;
  /** Counted apart. */
  readonly warmUpMs: number;
  /** After it. */
  readonly durationMs: number;
  /** Arrivals, tenants and texts follow from it. */
  readonly seed: number;
  /** Begins every prompt, so that no cell finds the prompts of another in the caches. */
  readonly salt: string;
  /** What is not answered so long after the last request was sent has failed. */
  readonly drainMs: number;
  /** Open loop at this rate; without it a closed loop with `clients`. */
  readonly ratePerSecond?: number;
  readonly clients?: number;
  readonly targets?: Targets;
}

/** One run: what came of the requests sent after the warm-up. */
export interface Cell extends CellPart {
  /** Of those sent in the warm-up: caches are cold, and nothing is learned of the engines. */
  readonly cold: CellPart;
}

export interface CellPart {
  readonly profile: string;
  readonly results: readonly StreamResult[];
  readonly samples: readonly LoadSample[];
  /** By the engines' own counters. */
  readonly hitRatio: number;
  /** Share of the processors that other processes took; undefined if not known. */
  readonly othersShare: number | undefined;
}

/** One run of one profile: a gateway of its own in front of the engines, from its start to the last answer. */
export async function runCell(options: CellOptions): Promise<Cell> {
  const { profile, engines, workload, targets } = options;
  const gateway = await startGateway(profile.yaml, engines);
  try {
    const client = await createStreamClient({
      url: gateway.url,
      model: undefined,
      outputTokens: workload.outputTokens,
      apiKey: undefined,
      isVerified: true,
      ...(targets === undefined
        ? {}
        : {
            headers: {
              'x-llm-d-slo-ttft-ms': String(targets.ttftMs),
              'x-llm-d-slo-tpot-ms': String(targets.tpotMs),
            },
          }),
    });
    const pids = [...engines, gateway].map(({ pid }) => pid);
    const { warmUpMs, durationMs, drainMs } = options;
    const countedFromMs = performance.now() + warmUpMs;
    const cut = setTimeout(() => void client.abort(), warmUpMs + durationMs + drainMs);
    const look = async () => ({ prefix: await prefixCounters(engines), time: processorTime(pids) });
    const start = await look();
    const loading = load(options, client.send);
    const coldLoads = sampleLoads(gateway.url, 250);
    await delay(warmUpMs);
    await coldLoads.stop();
    const warm = await look();
    const loads = sampleLoads(gateway.url, 250);
    const { results } = await loading;
    clearTimeout(cut);
    await loads.stop();
    const end = await look();
    await client.close();
    const part = (
      from: typeof start,
      to: typeof start,
      { samples }: typeof loads,
      isWarm: boolean,
    ): CellPart => ({
      profile: profile.name,
      results: results.filter(({ intendedMs }) => intendedMs >= countedFromMs === isWarm),
      samples,
      hitRatio: (to.prefix.hits - from.prefix.hits) / (to.prefix.queries - from.prefix.queries),
      othersShare: othersShare(from.time, to.time),
    });
    return { ...part(warm, end, loads, true), cold: part(start, warm, coldLoads, false) };
  } finally {
    await gateway.stop();
  }
}

function load(
  { workload, salt, seed, warmUpMs, durationMs, ratePerSecond, clients = 1 }: CellOptions,
  send: (prompt: Prompt, intendedMs: number) => Promise<StreamResult>,
): Promise<LoadResults> {
  const random = seededRandom(seed);
  const prompts = createPrompts({ ...workload, random, vocabulary });
  const nextPrompt = () => {
    const { tenant, text } = prompts();
    return { tenant, text: `${salt} ${text}` };
  };
  const plan = { durationMs: warmUpMs + durationMs, nextPrompt, send };
  if (ratePerSecond === undefined) return runClosedLoop({ ...plan, clients });
  return runOpenLoop({ ...plan, random, ratePerSecond, concurrencyLimit: Number.POSITIVE_INFINITY });
}
