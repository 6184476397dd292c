import type { RunningRequest } from './running-request.ts';

/** First come, first served; a preempted request goes back to the head. */
export class EngineQueue {
  /** The last preempted is first in line. */
  readonly #returned: RunningRequest[] = [];
  #waiting: RunningRequest[] = [];
  #head = 0;

  get size(): number {
    return this.#returned.length + this.#waiting.length - this.#head;
  }

  get first(): RunningRequest | undefined {
    return this.#returned.at(-1) ?? this.#waiting[this.#head];
  }

  push(request: RunningRequest): void {
    this.#waiting.push(request);
  }

  pushFirst(request: RunningRequest): void {
    this.#returned.push(request);
  }

  takeFirst(): RunningRequest | undefined {
    if (this.#returned.length > 0) return this.#returned.pop();
    const request = this.#waiting[this.#head];
    if (request === undefined) return undefined;
    this.#head++;
    if (this.#head > 64 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return request;
  }

  takeAll(): readonly RunningRequest[] {
    const all = [...this.#returned.splice(0).reverse(), ...this.#waiting.slice(this.#head)];
    this.#waiting = [];
    this.#head = 0;
    return all;
  }
}
