import { type EngineModel, isolatedPrefillMs } from './engine-model.ts';
import { kvBlocks } from './simulated-pool.ts';
import { blockTokens, type WorkloadRequest } from './workload.ts';

export interface BoundedFleet {
  /** Open loop: in order of arrival. */
  readonly arrivals: readonly WorkloadRequest[];
  readonly model: EngineModel;
  readonly pods: number;
  /** Share of requests, by arrival, that the means leave out. */
  readonly warmShare: number;
}

/** Mean TTFT without any queue and any neighbour: each request alone on an idle engine. Milliseconds. */
export interface TtftBounds {
  /**
   * Cached is what a cache that knows the future keeps in the fleet's whole memory: no router can be below it,
   * whatever its engines evict.
   */
  readonly clairvoyantMs: number;
  /** Cached is what one LRU over the fleet's whole memory keeps: what engines that evict so can share at best. */
  readonly sharedLruMs: number;
  readonly sharedLruHitShare: number;
}

/** O(blocks of all prompts x windows that a reuse spans). */
export function ttftBounds(fleet: BoundedFleet): TtftBounds {
  const { arrivals, warmShare } = fleet;
  const counted = arrivals.length - Math.floor(arrivals.length * warmShare);
  const lru = sharedLru(fleet);
  return {
    clairvoyantMs: (coldMs(fleet) - mostSavedMs(fleet)) / counted,
    sharedLruMs: lru.totalMs / counted,
    sharedLruHitShare: lru.cachedTokens / lru.promptTokens,
  };
}

function sharedLru({ arrivals, model, pods, warmShare }: BoundedFleet) {
  const capacity = pods * kvBlocks(model);
  const warm = Math.floor(arrivals.length * warmShare);
  /** In order of use, the oldest first. */
  const kept = new Set<number>();
  const sum = { totalMs: 0, cachedTokens: 0, promptTokens: 0 };
  for (const [i, { request, blocks }] of arrivals.entries()) {
    const { promptTokens } = request;
    let cached = 0;
    while (cached < blocks.length && kept.has(blocks[cached]!)) cached++;
    const cachedTokens = Math.min(promptTokens - 1, cached * blockTokens);
    if (i >= warm) {
      sum.totalMs += isolatedPrefillMs(model, promptTokens, cachedTokens);
      sum.cachedTokens += cachedTokens;
      sum.promptTokens += promptTokens;
    }
    // The tail of a prompt is evicted before its head.
    for (let b = blocks.length - 1; b >= 0; b--) {
      kept.delete(blocks[b]!);
      kept.add(blocks[b]!);
    }
    for (const oldest of kept) {
      if (kept.size <= capacity) break;
      kept.delete(oldest);
    }
  }
  return sum;
}

/** Prefill of all counted prompts with nothing cached, a step's fixed cost in proportion to its tokens. */
function coldMs({ arrivals, model, warmShare }: BoundedFleet): number {
  let total = 0;
  for (const { request, blocks } of arrivals.slice(Math.floor(arrivals.length * warmShare)))
    for (let b = 0; b < blocks.length; b++) total += blockMs(model, b, request.promptTokens);
  return total;
}

/** Prefill of one block: the cost of a suffix is the sum over its blocks, and a block always stands at its place. */
function blockMs(model: EngineModel, index: number, promptTokens: number): number {
  const before = index * blockTokens;
  const tokens = Math.min(blockTokens, promptTokens - before);
  return (
    (model.prefillMsPerToken + model.baseMs / model.stepTokens) * tokens +
    model.attentionMsPerTokenPair * tokens * (before + tokens / 2)
  );
}

/** A block that two requests ask for in turn: to keep it in between saves `ms` to the later one. */
interface Reuse {
  readonly from: number;
  readonly to: number;
  readonly ms: number;
}

/**
 * At most what any cache of the fleet's memory can save. Time is cut into windows; in each, the memory goes to the
 * reuses that save most per request that they span, whole or in part. A real cache keeps a block for the whole of its
 * reuse, keeps no parts, and keeps one memory per engine: all of that only saves less (a relaxation of the
 * interval packing that Belady's rule solves for equal values).
 */
function mostSavedMs(fleet: BoundedFleet): number {
  const capacity = fleet.pods * kvBlocks(fleet.model);
  const windows: Reuse[][] = [];
  for (const reuse of reusesOf(fleet)) {
    const last = Math.floor((reuse.to - 1) / windowRequests);
    for (let w = Math.floor(reuse.from / windowRequests); w <= last; w++) {
      windows[w] ??= [];
      windows[w]!.push(reuse);
    }
  }
  let saved = 0;
  for (const [w, reuses] of windows.entries()) {
    if (reuses === undefined) continue;
    reuses.sort((a, b) => rate(b) - rate(a));
    let room = capacity * windowRequests;
    for (const reuse of reuses) {
      const spans = Math.min(reuse.to, (w + 1) * windowRequests) - Math.max(reuse.from, w * windowRequests);
      const used = Math.min(room, spans);
      saved += used * rate(reuse);
      room -= used;
      if (room === 0) break;
    }
  }
  return saved;
}

const windowRequests = 50;

function rate({ from, to, ms }: Reuse): number {
  return ms / (to - from);
}

function* reusesOf({ arrivals, model, warmShare }: BoundedFleet): Iterable<Reuse> {
  const warm = Math.floor(arrivals.length * warmShare);
  const lastUse = new Map<number, number>();
  for (const [i, { request, blocks }] of arrivals.entries()) {
    for (let b = 0; b < blocks.length; b++) {
      const from = lastUse.get(blocks[b]!);
      lastUse.set(blocks[b]!, i);
      if (from === undefined) continue;
      yield { from, to: i, ms: i < warm ? 0 : blockMs(model, b, request.promptTokens) };
    }
  }
}
