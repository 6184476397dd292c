import type { ServedRequest } from './served-request.ts';

/**
 * The requests being served: an array in which the last one takes the place of the one that goes. A Set would
 * keep dead requests from the young generation's collector, as its outgrown tables, once old, still point to them.
 */
export class OpenRequests {
  readonly #list: ServedRequest[] = [];

  get size(): number {
    return this.#list.length;
  }

  [Symbol.iterator](): Iterator<ServedRequest> {
    return this.#list.values();
  }

  add(request: ServedRequest): void {
    request.place = this.#list.length;
    this.#list.push(request);
  }

  /** Once for each that was added. */
  remove({ place }: ServedRequest): void {
    const last = this.#list.pop()!;
    if (last.place === place) return;
    this.#list[place] = last;
    last.place = place;
  }
}
