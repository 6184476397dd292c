import type { Endpoint } from './endpoint.ts';

/**
 * Says which endpoints of a list are not those that stood at the same places before, for whoever keeps numbers by
 * place. A view of an endpoint never changes, so a comparison per endpoint tells all.
 */
export class EndpointRows {
  readonly #at: Endpoint[] = [];
  /** By slot; may be out of date. */
  readonly #places: number[] = [];

  /** Calls back for each place whose endpoint is another one now. */
  refresh(endpoints: readonly Endpoint[], changed: (endpoint: Endpoint, place: number) => void): void {
    const at = this.#at;
    const count = endpoints.length;
    if (at.length > count) at.length = count;
    for (let place = 0; place < count; place++) {
      const endpoint = endpoints[place]!;
      if (at[place] === endpoint) continue;
      if (place < at.length) at[place] = endpoint;
      else at.push(endpoint);
      const { slot } = endpoint;
      while (this.#places.length <= slot) this.#places.push(-1);
      this.#places[slot] = place;
      changed(endpoint, place);
    }
  }

  /** Where the endpoint with this slot stands in the list; undefined if it is not in it. */
  placeOf(slot: number): number | undefined {
    const place = this.#places[slot];
    return place !== undefined && this.#at[place]?.slot === slot ? place : undefined;
  }
}
