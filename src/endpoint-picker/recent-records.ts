import type { SchedulingResult } from '../scheduling/scheduling-result.ts';

/** The last `capacity` decision records. */
export class RecentRecords {
  readonly #ring: SchedulingResult[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor({ capacity }: { readonly capacity: number }) {
    this.#capacity = capacity;
  }

  push(record: SchedulingResult): void {
    if (this.#capacity === 0) return;
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  /** Newest first. */
  recent(): readonly SchedulingResult[] {
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)].reverse();
  }
}
