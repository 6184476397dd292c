import type { Endpoint } from '../scheduling/endpoint.ts';
import type { EndpointList } from '../scheduling/endpoint-list.ts';
import { EndpointRows, type RowListener } from '../scheduling/endpoint-rows.ts';
import { isRoomAt, type RoomRule, tightRule } from './room-round.ts';

/** Which endpoints have room, by slot: 1 or 0. */
export interface Rooms {
  readonly isOpen: Uint8Array;
  /** To tenants over their share too. */
  readonly isOpenTight: Uint8Array;
  /** Endpoints with room. */
  readonly count: number;
}

/** Who has room by one rule, looked at anew only where an endpoint has changed. */
export class RoomTable {
  readonly rule: RoomRule;
  readonly tight: RoomRule;
  #rows = new EndpointRows();
  #slots: number[] = [];
  #isOpen = new Uint8Array(0);
  #isOpenTight = new Uint8Array(0);
  #count = 0;
  /** Another endpoint stands where one stood. */
  #hasMoved = false;

  constructor(rule: RoomRule) {
    this.rule = rule;
    this.tight = tightRule(rule);
  }

  of(endpoints: EndpointList): Rooms {
    if (endpoints.length !== this.#slots.length) this.#startAnew(endpoints);
    this.#rows.refresh(endpoints, this.#listener);
    if (this.#hasMoved) {
      this.#startAnew(endpoints);
      this.#rows.refresh(endpoints, this.#listener);
    }
    return { isOpen: this.#isOpen.slice(), isOpenTight: this.#isOpenTight.slice(), count: this.#count };
  }

  readonly #look = (endpoint: Endpoint, row: number): void => {
    const { slot } = endpoint;
    this.#hasMoved ||= this.#slots[row] !== slot;
    if (this.#hasMoved) return;
    const isOpen = isRoomAt(endpoint, this.rule);
    this.#count += (isOpen ? 1 : 0) - this.#isOpen[slot]!;
    this.#isOpen[slot] = isOpen ? 1 : 0;
    this.#isOpenTight[slot] = isOpen && isRoomAt(endpoint, this.tight) ? 1 : 0;
  };

  readonly #listener: RowListener = { changed: this.#look };

  #startAnew(endpoints: EndpointList): void {
    this.#slots = endpoints.flat.map(({ slot }) => slot);
    const length = this.#slots.reduce((most, slot) => Math.max(most, slot), -1) + 1;
    this.#rows = new EndpointRows();
    this.#isOpen = new Uint8Array(length);
    this.#isOpenTight = new Uint8Array(length);
    this.#count = 0;
    this.#hasMoved = false;
  }
}
