import { setTimeout as delay } from 'node:timers/promises';
import type { Prompt } from './prompts.ts';
import type { StreamResult } from './stream-client.ts';

export interface LoadPlan {
  readonly durationMs: number;
  readonly nextPrompt: () => Prompt;
  readonly send: (prompt: Prompt, intendedMs: number) => Promise<StreamResult>;
}

export interface OpenLoopOptions extends LoadPlan {
  readonly random: () => number;
  readonly ratePerSecond: number;
  readonly concurrencyLimit: number;
}

export interface LoadResults {
  readonly results: readonly StreamResult[];
  readonly elapsedMs: number;
}

/** Sends at the times of a Poisson process, whether or not earlier requests are answered. */
export async function runOpenLoop(options: OpenLoopOptions): Promise<LoadResults> {
  const { durationMs, nextPrompt, send, random, ratePerSecond, concurrencyLimit } = options;
  const startMs = performance.now();
  const running = new Set<Promise<void>>();
  const results: StreamResult[] = [];
  let intendedMs = startMs;
  for (;;) {
    intendedMs += (-Math.log(1 - random()) / ratePerSecond) * 1000;
    if (intendedMs - startMs > durationMs) break;
    const aheadMs = intendedMs - performance.now();
    if (aheadMs > 1) await delay(aheadMs);
    while (running.size >= concurrencyLimit) await Promise.race(running);
    const request = send(nextPrompt(), intendedMs).then((result) => {
      results.push(result);
      running.delete(request);
    });
    running.add(request);
  }
  await Promise.all(running);
  return { results, elapsedMs: performance.now() - startMs };
}
