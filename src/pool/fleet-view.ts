import type { Endpoint } from '../scheduling/endpoint.ts';
import { EndpointList } from '../scheduling/endpoint-list.ts';
import type { EndpointState } from './endpoint-state.ts';

/**
 * The list of all endpoints' views. A change of some costs their views and a copy of their blocks; only when
 * endpoints come, go or age are all looked at.
 */
export class FleetView {
  /** In the order of their slots. */
  #list = EndpointList.of([]);
  /** Place in the list, by slot. */
  readonly #places: number[] = [];
  #ready = 0;
  /** Views that stand in for silent endpoints while none is ready are not the states' own. */
  #hasStandIns = false;
  #isStale = false;
  readonly #changed = new Set<EndpointState>();

  /** The view of this endpoint is another one, or will be. */
  change(state: EndpointState): void {
    if (!this.#isStale) this.#changed.add(state);
  }

  /** Endpoints have come or gone, or all have changed. */
  changeAll(): void {
    this.#isStale = true;
    this.#changed.clear();
  }

  /**
   * `states` by slot. Views are made in the order of the slots: what one settles, the next may learn from.
   * `standIn` is asked for each while none is ready.
   */
  list(
    states: readonly (EndpointState | undefined)[],
    nowMs: number,
    standIn: (view: Endpoint) => Endpoint,
  ): EndpointList {
    if (!this.#isStale && !this.#hasStandIns) this.#update(states, nowMs);
    if (this.#isStale || this.#hasStandIns || this.#ready === 0) this.#rebuild(states, nowMs, standIn);
    return this.#list;
  }

  #update(states: readonly (EndpointState | undefined)[], nowMs: number): void {
    if (this.#changed.size === 0) return;
    const changed = [...this.#changed];
    if (changed.length > 1) changed.sort((a, b) => a.slot - b.slot);
    const changes: { place: number; endpoint: Endpoint }[] = [];
    for (const state of changed) {
      // One that is gone may still lose requests, while its slot is another's.
      if (states[state.slot] !== state) continue;
      const place = this.#places[state.slot]!;
      const view = state.view(nowMs);
      this.#ready += (view.isReady ? 1 : 0) - (this.#list.at(place).isReady ? 1 : 0);
      changes.push({ place, endpoint: view });
    }
    this.#changed.clear();
    if (changes.length > 0) this.#list = this.#list.with(changes);
  }

  #rebuild(
    states: readonly (EndpointState | undefined)[],
    nowMs: number,
    standIn: (view: Endpoint) => Endpoint,
  ): void {
    const views: Endpoint[] = [];
    this.#ready = 0;
    for (const state of states) {
      if (state === undefined) continue;
      this.#places[state.slot] = views.length;
      const view = state.view(nowMs);
      if (view.isReady) this.#ready++;
      views.push(view);
    }
    this.#hasStandIns = this.#ready === 0;
    this.#list = EndpointList.of(this.#hasStandIns ? views.map(standIn) : views);
    this.#isStale = false;
    this.#changed.clear();
  }
}
