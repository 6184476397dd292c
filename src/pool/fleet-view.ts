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
  /** Slots whose endpoint has changed, each once. */
  readonly #changed: number[] = [];
  readonly #isChanged: boolean[] = [];

  /** The view of this endpoint is another one, or will be. One that is gone counts as a change of its slot. */
  change({ slot }: EndpointState): void {
    if (this.#isStale || this.#isChanged[slot] === true) return;
    this.#isChanged[slot] = true;
    this.#changed.push(slot);
  }

  /** Endpoints have come or gone, or all have changed. */
  changeAll(): void {
    this.#isStale = true;
    this.#forgetChanges();
  }

  #forgetChanges(): void {
    // To set an array's length goes through V8's runtime.
    for (let slot = this.#changed.pop(); slot !== undefined; slot = this.#changed.pop())
      this.#isChanged[slot] = false;
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
    if (this.#changed.length === 0) return;
    sortFew(this.#changed);
    const changes: { place: number; endpoint: Endpoint }[] = [];
    for (const slot of this.#changed) {
      const state = states[slot];
      if (state === undefined) continue;
      const place = this.#places[slot]!;
      const view = state.view(nowMs);
      this.#ready += (view.isReady ? 1 : 0) - (this.#list.at(place).isReady ? 1 : 0);
      changes.push({ place, endpoint: view });
    }
    this.#forgetChanges();
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
    this.#forgetChanges();
  }
}

/** Array's own sort allocates, and mostly one or two slots have changed. */
function sortFew(slots: number[]): void {
  if (slots.length > 32) slots.sort((a, b) => a - b);
  else
    for (let i = 1; i < slots.length; i++) {
      const slot = slots[i]!;
      let hole = i;
      for (; hole > 0 && slots[hole - 1]! > slot; hole--) slots[hole] = slots[hole - 1]!;
      slots[hole] = slot;
    }
}
