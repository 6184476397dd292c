import type { Sequence } from './sequence.ts';

export type SchedulingPolicy = 'fcfs' | 'priority';

/** True if `a` should run before `b`. Arrival decides among equals, so a preempted sequence comes back first. */
export function runsBefore(policy: SchedulingPolicy, a: Sequence, b: Sequence): boolean {
  if (policy === 'priority' && a.priority !== b.priority) return a.priority < b.priority;
  return a.arrival < b.arrival;
}

/** Sequences that wait for admission: a binary heap in running order, with removal from the middle. */
export class WaitingQueue {
  readonly #policy: SchedulingPolicy;
  readonly #heap: Sequence[] = [];

  constructor(policy: SchedulingPolicy) {
    this.#policy = policy;
  }

  get size(): number {
    return this.#heap.length;
  }

  peek(): Sequence | undefined {
    return this.#heap[0];
  }

  push(sequence: Sequence): void {
    this.#heap.push(sequence);
    this.#rise(this.#heap.length - 1, sequence);
  }

  /** Takes out a sequence that is in the queue. */
  remove(sequence: Sequence): void {
    const last = this.#heap.pop()!;
    if (last === sequence) return;
    const hole = sequence.queueIndex;
    this.#rise(this.#sink(hole), last);
  }

  #rise(from: number, sequence: Sequence): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!runsBefore(this.#policy, sequence, this.#heap[parent]!)) break;
      this.#place(at, this.#heap[parent]!);
      at = parent;
    }
    this.#place(at, sequence);
  }

  /** Moves a hole down to a leaf, always along the earlier child; returns where it ends. */
  #sink(hole: number): number {
    let at = hole;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= this.#heap.length) return at;
      const right = left + 1;
      const hasRight = right < this.#heap.length;
      const child =
        hasRight && runsBefore(this.#policy, this.#heap[right]!, this.#heap[left]!) ? right : left;
      this.#place(at, this.#heap[child]!);
      at = child;
    }
  }

  #place(at: number, sequence: Sequence): void {
    this.#heap[at] = sequence;
    sequence.queueIndex = at;
  }
}
