/**
 * Late binding by default must not harm on any pool: requests that come faster than engines serve them, in virtual
 * time, with and without it. Engines prefill in turn and decode all they have at once.
 */
import { describe, expect, it } from 'vitest';
import type { Assignment } from '../../src/endpoint-picker/assignment.ts';
import { defaultRoomRule } from '../../src/endpoint-picker/room-rule.ts';
import { defaultLimits } from '../../src/flow-control/index.ts';
import { seededRandom } from '../scheduling/support.ts';
import { createFleet } from './support.ts';

const requestCount = 150;
const outputTokens = 20;

interface Pool {
  readonly engines: number;
  readonly prefillMsPerToken: number;
  readonly isStreaming: boolean;
  /** `none`: it has no metrics; `sizeless`: it does not tell the size of its KV cache. */
  readonly gauges: 'all' | 'sizeless' | 'none';
  /** Requests of others in every engine's queue. */
  readonly others?: number;
  readonly waits: boolean;
}

interface Running {
  readonly assignment: Assignment;
  readonly arrivedMs: number;
  prefillMs: number;
  decodeMs: number;
}

async function serve({ engines: count, prefillMsPerToken, isStreaming, gauges, others = 0, waits }: Pool) {
  const random = seededRandom(3);
  const fleet = createFleet({
    endpoints: count,
    ...(waits && {
      flowControl: {
        limits: () => defaultLimits,
        room: () => defaultRoomRule,
        schedule: () => () => undefined,
      },
    }),
  });
  const { clock, pool, picker } = fleet;
  const engines = Array.from({ length: count }, (): Running[] => []);
  const startMs = clock.nowMs;
  // The mean prompt is 1,250 tokens; arrivals come at 1.5 times what engines prefill.
  const gapMs = (1250 * prefillMsPerToken) / (1.5 * count);
  const stepMs = gapMs / 4;
  let sent = 0;
  let nextMs = startMs;
  let nextScrapeMs = startMs;
  let mostWaiting = 0;
  let idleWhileWaiting = 0;
  const ttfts: number[] = [];
  while (ttfts.length < requestCount) {
    clock.nowMs += stepMs;
    while (sent < requestCount && nextMs <= clock.nowMs) {
      const promptTokens = Math.round(250 + 2000 * random());
      const arrivedMs = clock.nowMs;
      void fleet.pick({ id: `r${sent}`, promptTokens, isStreaming }).then((assignment) => {
        const times = { prefillMs: prefillMsPerToken * promptTokens, decodeMs: 8 * outputTokens };
        engines[Number(assignment.endpoint.name.slice(1))]!.push({ assignment, arrivedMs, ...times });
      });
      sent++;
      nextMs += -gapMs * Math.log(1 - random());
    }
    await Promise.resolve();
    for (const running of engines) ttfts.push(...advance(running, stepMs, clock.nowMs, isStreaming));
    if (clock.nowMs >= nextScrapeMs) {
      nextScrapeMs += 200;
      for (const [i, running] of engines.entries()) scrape(`e${i}`, running);
    }
    await Promise.resolve();
    mostWaiting = Math.max(mostWaiting, picker.waitingRequests);
    if (picker.waitingRequests > 0 && engines.some((running) => running.length === 0)) idleWhileWaiting++;
    if (clock.nowMs - startMs > 1e7) throw new Error(`${requestCount - ttfts.length} requests hang`);
  }
  picker.checkIntegrity();
  const meanTtftMs = ttfts.reduce((sum, ms) => sum + ms, 0) / ttfts.length;
  return { meanTtftMs, lastMs: clock.nowMs - startMs, mostWaiting, idleWhileWaiting };

  function scrape(name: string, running: readonly Running[]): void {
    const endpoint = fleet.endpoint(name);
    pool.beginScrape(endpoint);
    if (gauges === 'none') {
      pool.recordScrape(endpoint, undefined);
      return;
    }
    fleet.scrape(name, {
      queuedRequests: others,
      runningRequests: running.length,
      kvCacheUsage: 0.1,
      ...(gauges === 'all' && { blockSizeTokens: 16, totalBlocks: 20_000 }),
    });
  }
}

/** Gives the TTFTs of those that got their first token, or of a whole answer the time to its end. */
function advance(running: Running[], stepMs: number, nowMs: number, isStreaming: boolean): number[] {
  const told: number[] = [];
  let prefillMs = stepMs;
  for (const request of [...running]) {
    if (request.prefillMs > 0) {
      const spentMs = Math.min(prefillMs, request.prefillMs);
      prefillMs -= spentMs;
      request.prefillMs -= spentMs;
      if (request.prefillMs > 0 || !isStreaming) continue;
      request.assignment.firstToken();
      told.push(nowMs - request.arrivedMs);
      continue;
    }
    request.decodeMs -= stepMs;
    if (request.decodeMs > 0) continue;
    running.splice(running.indexOf(request), 1);
    const usage = { promptTokens: 1250, completionTokens: outputTokens, cachedTokens: 0 };
    request.assignment.finish({ kind: 'completed', status: 200, usage });
    if (!isStreaming) told.push(nowMs - request.arrivedMs);
  }
  return told;
}

const kinds = [1, 4].flatMap((engines) =>
  [0.004, 0.04, 0.5].flatMap((prefillMsPerToken) =>
    [true, false].flatMap((isStreaming) =>
      (['all', 'sizeless', 'none'] as const).map((gauges) => ({
        engines,
        prefillMsPerToken,
        isStreaming,
        gauges,
      })),
    ),
  ),
);

describe('late binding on a pool under overload, from a cold start', () => {
  it.each(kinds)(
    '$engines engines at $prefillMsPerToken ms a token, streams $isStreaming, gauges $gauges',
    async (kind) => {
      const [held, sent] = [await serve({ ...kind, waits: true }), await serve({ ...kind, waits: false })];
      expect(held.idleWhileWaiting).toBe(0);
      expect(held.lastMs).toBeLessThanOrEqual(1.05 * sent.lastMs);
      expect(held.meanTtftMs).toBeLessThanOrEqual(1.05 * sent.meanTtftMs);
      if (kind.isStreaming) expect(held.mostWaiting).toBeGreaterThanOrEqual(5);
      else expect(held.mostWaiting).toBe(0);
    },
  );

  it('holds nothing back where others queue for long', async () => {
    const busy = {
      engines: 2,
      prefillMsPerToken: 0.04,
      isStreaming: true,
      gauges: 'all',
      others: 500,
    } as const;
    const [held, sent] = [await serve({ ...busy, waits: true }), await serve({ ...busy, waits: false })];
    expect(held.lastMs).toBeLessThanOrEqual(1.05 * sent.lastMs);
  });
});
