import type { EndpointState } from './endpoint-state.ts';
import type { LoadEntry } from './in-flight-load.ts';

/** A sample moves the mean by this share. */
const weight = 0.2;
/** Samples before an endpoint says anything about others. */
const fewestSamples = 5;
/** Times as late as other endpoints are: out of reach of different hardware that is still being learned. */
const tooLateFactor = 10;
/** Less than this is noise, whatever its ratio. */
const leastExcessMs = 2000;
/** An engine with full memory is taken for hung after this long without a token or an end, or after an answer's time. */
const leastStillMs = 5000;
/** Nothing is expected sooner: a step of the engine, and the way there and back. */
const leastExpectedMs = 100;

/** How an endpoint's first tokens come, as a ratio to when they were expected: 1 is in time. */
export class FirstTokenDelay {
  #ratio = 1;
  #samples = 0;

  add(waitedMs: number, expectedMs: number): void {
    const ratio = waitedMs / Math.max(leastExpectedMs, expectedMs);
    this.#samples++;
    this.#ratio += Math.max(weight, 1 / this.#samples) * (ratio - this.#ratio);
  }

  /** Undefined until it has been seen often enough. */
  get ratio(): number | undefined {
    return this.#samples < fewestSamples ? undefined : this.#ratio;
  }
}

/**
 * Finds the endpoint whose first tokens come far later than those of the others. What is expected holds the
 * prompt and our own requests before it, so a delay that many endpoints share is load from elsewhere, and one
 * that a single endpoint has is a fault of that endpoint. Unless its memory is full while it goes on serving: to
 * eject it then would move what is cached there to others, which fill up in their turn.
 */
export class FirstTokenJudge {
  readonly #endpoints: ReadonlyMap<string, EndpointState>;

  /** The endpoints of the pool by name, as they are at any time. */
  constructor(endpoints: ReadonlyMap<string, EndpointState>) {
    this.#endpoints = endpoints;
  }

  came(state: EndpointState, entry: LoadEntry, nowMs: number): void {
    const waitedMs = nowMs - entry.sentAtMs;
    if (isLate(waitedMs, entry.expectedMs)) this.#judge(state, entry, nowMs, this.#othersThan(state, nowMs));
    else state.health.firstTokenCame(entry.sentAtMs);
    state.firstTokenDelay.add(waitedMs, entry.expectedMs);
  }

  /** A hung engine may answer scrapes and nothing else: its first tokens are missed before they come. */
  lookForMissing(state: EndpointState, nowMs: number): void {
    let others: Others | undefined;
    for (const entry of state.load.waitingSince(nowMs - leastExcessMs)) {
      if (entry.isLate || !isLate(nowMs - entry.sentAtMs, entry.expectedMs)) continue;
      others ??= this.#othersThan(state, nowMs);
      this.#judge(state, entry, nowMs, others);
    }
  }

  #othersThan(state: EndpointState, nowMs: number): Others {
    const others = [...this.#endpoints.values()].filter((each) => each !== state);
    const ratios = others.flatMap(({ firstTokenDelay: { ratio } }) => (ratio === undefined ? [] : [ratio]));
    const median = ratios.sort((a, b) => a - b)[ratios.length >> 1];
    const ready = others.filter(({ health }) => health.isReady(nowMs)).length;
    return { usualRatio: median === undefined ? undefined : Math.max(1, median), ready };
  }

  /** Only against others, and never so that more than half of the endpoints are out. */
  #judge(state: EndpointState, entry: LoadEntry, nowMs: number, { usualRatio, ready }: Others): void {
    if (entry.isLate || usualRatio === undefined) return;
    const waitedMs = nowMs - entry.sentAtMs;
    if (!isLate(waitedMs, usualRatio * entry.expectedMs)) return;
    if (2 * ready < this.#endpoints.size || hasWaitedForMemory(state, entry, nowMs)) return;
    entry.isLate = true;
    const reason = `${Math.round(waitedMs)} ms instead of ${Math.round(entry.expectedMs)} ms`;
    state.health.firstTokenIsLate(reason, entry.sentAtMs, nowMs);
  }
}

interface Others {
  /** How their first tokens come, as a ratio to when they were expected; undefined if none is known. */
  readonly usualRatio: number | undefined;
  readonly ready: number;
}

/** Memory comes free when answers end, so nothing may come for as long as one takes. */
function hasWaitedForMemory(state: EndpointState, { sentAtMs }: LoadEntry, nowMs: number): boolean {
  if (state.fullUntilMs < sentAtMs) return false;
  const { meanOutputTokens, stepMs } = state.view(nowMs).learned;
  return nowMs - state.servedAtMs < Math.max(leastStillMs, meanOutputTokens * stepMs);
}

function isLate(waitedMs: number, expectedMs: number): boolean {
  const expected = Math.max(leastExpectedMs, expectedMs);
  return waitedMs > tooLateFactor * expected && waitedMs - expected > leastExcessMs;
}
