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
 * that a single endpoint has is a fault of that endpoint.
 */
export class FirstTokenJudge {
  readonly #endpoints: ReadonlyMap<string, EndpointState>;

  /** The endpoints of the pool by name, as they are at any time. */
  constructor(endpoints: ReadonlyMap<string, EndpointState>) {
    this.#endpoints = endpoints;
  }

  came(state: EndpointState, entry: LoadEntry, nowMs: number): void {
    const waitedMs = nowMs - entry.sentAtMs;
    if (isLate(waitedMs, entry.expectedMs)) this.#judge(state, entry, nowMs);
    else state.health.firstTokenCame(entry.sentAtMs);
    state.firstTokenDelay.add(waitedMs, entry.expectedMs);
  }

  /** A hung engine may answer scrapes and nothing else: its first tokens are missed before they come. */
  lookForMissing(state: EndpointState, nowMs: number): void {
    for (const entry of state.load.waitingSince(nowMs - leastExcessMs)) {
      if (isLate(nowMs - entry.sentAtMs, entry.expectedMs)) this.#judge(state, entry, nowMs);
    }
  }

  /** Only against others, and never so that more than half of the endpoints are out. */
  #judge(state: EndpointState, entry: LoadEntry, nowMs: number): void {
    if (entry.isLate) return;
    const others = [...this.#endpoints.values()].filter((each) => each !== state);
    const ratios = others.flatMap(({ firstTokenDelay: { ratio } }) => (ratio === undefined ? [] : [ratio]));
    if (ratios.length === 0) return;
    const usual = Math.max(1, ratios.sort((a, b) => a - b)[ratios.length >> 1]!);
    const waitedMs = nowMs - entry.sentAtMs;
    if (!isLate(waitedMs, usual * entry.expectedMs)) return;
    const readyOthers = others.filter(({ health }) => health.isReady(nowMs)).length;
    if (2 * readyOthers < this.#endpoints.size) return;
    entry.isLate = true;
    const reason = `${Math.round(waitedMs)} ms instead of ${Math.round(entry.expectedMs)} ms`;
    state.health.firstTokenIsLate(reason, entry.sentAtMs, nowMs);
  }
}

function isLate(waitedMs: number, expectedMs: number): boolean {
  const expected = Math.max(leastExpectedMs, expectedMs);
  return waitedMs > tooLateFactor * expected && waitedMs - expected > leastExcessMs;
}
