import type { ServerResponse } from 'node:http';
import { ServiceError } from '../protocol/errors.ts';

/** A request in progress, and how to end it before its time: the client is told why where that is possible. */
export interface ActiveRequest {
  cut: (error: ServiceError) => void;
  /** Its place in the list; written by the owner of the list only. */
  place: number;
}

/**
 * Owns the count and the list of requests in progress: counted from their headers, listed from their body, both
 * until the connection has taken the answer.
 *
 * The list is an array in which the last one takes the place of the one that goes. A Map or Set would keep dead
 * requests from the young generation's collector: its outgrown tables, once old, still point to them, which makes
 * several times the garbage collection.
 */
export class ActiveRequests {
  readonly #limit: number;
  readonly #list: ActiveRequest[] = [];
  #count = 0;
  #onIdle: (() => void) | undefined;

  constructor({ limit }: { readonly limit: number }) {
    this.#limit = limit;
  }

  get count(): number {
    return this.#count;
  }

  /** Counts a request in until its response closes. Throws `overloaded` beyond the limit. */
  open(response: ServerResponse): void {
    if (this.#count >= this.#limit) {
      throw new ServiceError(
        'overloaded',
        `The gateway serves ${this.#limit} requests already, its limit. Try again shortly.`,
      );
    }
    this.#count += 1;
    response.once('close', this.#closed);
  }

  add(cut: ActiveRequest['cut']): ActiveRequest {
    const active = { cut, place: this.#list.length };
    this.#list.push(active);
    return active;
  }

  remove({ place }: ActiveRequest): void {
    const last = this.#list.pop()!;
    if (last.place === place) return;
    this.#list[place] = last;
    last.place = place;
  }

  /** Resolves when no request is in progress, or after the deadline. */
  async idle(deadlineMs: number): Promise<void> {
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onIdle = undefined;
  }

  cutAll(error: ServiceError): void {
    for (const { cut } of [...this.#list]) cut(error);
  }

  readonly #closed = (): void => {
    this.#count -= 1;
    if (this.#count === 0) this.#onIdle?.();
  };
}
