import type { RunningRequest } from './running-request.ts';

/**
 * The sequences that decode on one engine, ordered by the step at which each is complete. All advance together,
 * so an advance is three additions, whatever the batch.
 */
export class DecodeBatch {
  #step = 0;
  #contextTokens = 0;
  #generatedTokens = 0;
  /** Binary heap by `finishStep`. */
  readonly #heap: RunningRequest[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** Tokens in context over all sequences: prompts and what was generated. */
  get contextTokens(): number {
    return this.#contextTokens;
  }

  /** Those of `contextTokens` that were generated; they occupy memory that no prefix shares. */
  get generatedTokens(): number {
    return this.#generatedTokens;
  }

  /** Steps until the first sequence is complete. */
  get stepsToNextFinish(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#heap[0]!.finishStep - this.#step;
  }

  add(request: RunningRequest): void {
    request.finishStep = this.#step + request.outputTokens - request.generatedTokens;
    this.#contextTokens += request.promptTokens + request.generatedTokens;
    this.#generatedTokens += request.generatedTokens;
    this.#push(request);
  }

  /** Each sequence gains one token per step. */
  advance(steps: number): void {
    const tokens = steps * this.#heap.length;
    this.#step += steps;
    this.#contextTokens += tokens;
    this.#generatedTokens += tokens;
  }

  /** Removes and returns one sequence that is complete now. */
  takeFinished(): RunningRequest | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.finishStep > this.#step) return undefined;
    this.#removeAt(0);
    this.#forget(first);
    return first;
  }

  /** Removes and returns the sequence admitted last, for preemption. */
  takeYoungest(): RunningRequest | undefined {
    let youngest = 0;
    for (let i = 1; i < this.#heap.length; i++) {
      if (this.#heap[i]!.admission > this.#heap[youngest]!.admission) youngest = i;
    }
    const request = this.#heap[youngest];
    if (request === undefined) return undefined;
    this.#removeAt(youngest);
    this.#forget(request);
    return request;
  }

  /** Removes and returns all, in no order. */
  takeAll(): readonly RunningRequest[] {
    const all = this.#heap.splice(0);
    for (const request of all) this.#forget(request);
    return all;
  }

  #forget(request: RunningRequest): void {
    request.generatedTokens = request.outputTokens - (request.finishStep - this.#step);
    this.#contextTokens -= request.promptTokens + request.generatedTokens;
    this.#generatedTokens -= request.generatedTokens;
  }

  #push(request: RunningRequest): void {
    const heap = this.#heap;
    heap.push(request);
    this.#rise(heap.length - 1);
  }

  #removeAt(index: number): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (index === heap.length) return;
    heap[index] = last;
    this.#rise(index);
    this.#sink(index);
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const request = heap[from]!;
    let hole = from;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (heap[parent]!.finishStep <= request.finishStep) break;
      heap[hole] = heap[parent]!;
      hole = parent;
    }
    heap[hole] = request;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const request = heap[from]!;
    let hole = from;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.finishStep < heap[child]!.finishStep) child++;
      if (request.finishStep <= heap[child]!.finishStep) break;
      heap[hole] = heap[child]!;
      hole = child;
    }
    heap[hole] = request;
  }
}
