/** Over how long the rate is taken. */
const memoryMs = 10_000;
/** What is assumed at first weighs like this much time. */
const priorMs = 2000;

/** How fast the line empties: own work taken from it per time, while something waited. */
export class DrainRate {
  #workMs = 0;
  #elapsedMs = 0;
  #sinceMs: number | undefined;

  /** Something waits from now on. */
  start(nowMs: number): void {
    this.#sinceMs ??= nowMs;
  }

  stop(nowMs: number): void {
    this.#advance(nowMs);
    this.#sinceMs = undefined;
  }

  served(ownMs: number, nowMs: number): void {
    this.#advance(nowMs);
    this.#workMs += ownMs;
  }

  /** How long `aheadMs` of own work will take. At first each endpoint is believed to do one ms per ms. */
  waitMs(aheadMs: number, endpoints: number, nowMs: number): number {
    this.#advance(nowMs);
    const rate = (this.#workMs + Math.max(1, endpoints) * priorMs) / (this.#elapsedMs + priorMs);
    return aheadMs / rate;
  }

  #advance(nowMs: number): void {
    if (this.#sinceMs === undefined) return;
    const stepMs = nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    const kept = Math.exp(-stepMs / memoryMs);
    this.#workMs *= kept;
    this.#elapsedMs = this.#elapsedMs * kept + stepMs;
  }
}
