import { IndexedHeap } from './indexed-heap.ts';
import type { Waiting } from './waiting.ts';

export interface DeadlinesOptions {
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Calls back once after that time, unless the function returned is called before. */
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
  /** A deadline may have passed. To be followed by `setTimer`. */
  readonly onDue: () => void;
}

/** Until when each request may wait, and one timer for the next of these times. O(log n) per operation. */
export class Deadlines<T> {
  readonly #options: DeadlinesOptions;
  readonly #heap = new IndexedHeap<Waiting<T>>();
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  constructor(options: DeadlinesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#heap.size;
  }

  get hasTimer(): boolean {
    return this.#timer !== undefined;
  }

  add(waiting: Waiting<T>, atMs: number): void {
    waiting.deadline.key = atMs;
    this.#heap.add(waiting.deadline);
  }

  remove({ deadline }: Waiting<T>): void {
    this.#heap.remove(deadline);
  }

  /** The request whose deadline passed first, if one has passed. It stays. */
  passedAt(nowMs: number): Waiting<T> | undefined {
    const next = this.#heap.peek();
    return next !== undefined && next.key <= nowMs ? next.item : undefined;
  }

  /** All that wait, in no particular order. */
  [Symbol.iterator](): Iterator<Waiting<T>> {
    return this.#heap[Symbol.iterator]();
  }

  /** To be called after changes: one timer, for the next deadline; none when nothing waits. */
  setTimer(): void {
    const { clock, schedule, onDue } = this.#options;
    const atMs = this.#heap.peek()?.key;
    if (this.#timer?.atMs === atMs) return;
    // A timer that is too early finds nothing to do and sets the next.
    if (this.#timer !== undefined && atMs !== undefined && this.#timer.atMs < atMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (atMs === undefined) return;
    const due = () => {
      this.#timer = undefined;
      onDue();
    };
    this.#timer = { atMs, cancel: schedule(Math.max(0, atMs - clock()), due) };
  }
}
