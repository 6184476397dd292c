import type { DecisionRecord } from './decision-record.ts';

/** The last `capacity` decisions. */
export class RecentRecords {
  readonly #ring: DecisionRecord[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor({ capacity }: { readonly capacity: number }) {
    this.#capacity = capacity;
  }

  push(record: DecisionRecord): void {
    if (this.#capacity === 0) return;
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  /** Oldest first. */
  recent(): readonly DecisionRecord[] {
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
  }
}
