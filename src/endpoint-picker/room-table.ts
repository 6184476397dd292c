import type { Endpoint } from '../scheduling/endpoint.ts';
import type { EndpointList } from '../scheduling/endpoint-list.ts';
import { EndpointRows, type RowListener } from '../scheduling/endpoint-rows.ts';
import { isRoomAt, type RoomRule, tightRule } from './room-rule.ts';

/** Which endpoints have room: a bit for each slot, 32 a word. */
export interface Rooms {
  readonly open: Int32Array;
  /** To tenants over their share too. */
  readonly openTight: Int32Array;
  /** And without requests of ours: room for those that ask for much. */
  readonly idle: Int32Array;
  /** Endpoints with room. */
  readonly count: number;
}

export function isOpenIn({ open }: Rooms, slot: number): boolean {
  return hasBit(open, slot);
}

export function isIdleIn({ idle }: Rooms, slot: number): boolean {
  return hasBit(idle, slot);
}

/** Some endpoint has room in `now` and had none in `before`. */
export function hasGained(now: Rooms, before: Rooms): boolean {
  if (now === before) return false;
  for (let word = 0; word < now.open.length; word++) {
    if ((now.open[word]! & ~(before.open[word] ?? 0)) !== 0) return true;
    if ((now.openTight[word]! & ~(before.openTight[word] ?? 0)) !== 0) return true;
    if ((now.idle[word]! & ~(before.idle[word] ?? 0)) !== 0) return true;
  }
  return false;
}

function hasBit(words: Int32Array, slot: number): boolean {
  return (words[slot >>> 5]! & (1 << (slot & 31))) !== 0;
}

function setBit(words: Int32Array, slot: number, isSet: boolean): void {
  const bit = 1 << (slot & 31);
  words[slot >>> 5] = isSet ? words[slot >>> 5]! | bit : words[slot >>> 5]! & ~bit;
}

/** Who has room by one rule, looked at anew only where an endpoint has changed. */
export class RoomTable {
  readonly rule: RoomRule;
  readonly tight: RoomRule;
  #rows = new EndpointRows();
  #slots: number[] = [];
  #open = new Int32Array(0);
  #openTight = new Int32Array(0);
  #idle = new Int32Array(0);
  #count = 0;
  /** Another endpoint stands where one stood. */
  #hasMoved = false;
  /** What was told last, until it is out of date. */
  #rooms: Rooms | undefined;

  constructor(rule: RoomRule) {
    this.rule = rule;
    this.tight = tightRule(rule);
  }

  /** The same object until something changed. */
  of(endpoints: EndpointList): Rooms {
    if (endpoints.length !== this.#slots.length) this.#startAnew(endpoints);
    this.#rows.refresh(endpoints, this.#listener);
    if (this.#hasMoved) {
      this.#startAnew(endpoints);
      this.#rows.refresh(endpoints, this.#listener);
    }
    this.#rooms ??= {
      open: this.#open.slice(),
      openTight: this.#openTight.slice(),
      idle: this.#idle.slice(),
      count: this.#count,
    };
    return this.#rooms;
  }

  readonly #look = (endpoint: Endpoint, row: number): void => {
    const { slot } = endpoint;
    this.#hasMoved ||= this.#slots[row] !== slot;
    if (this.#hasMoved) return;
    const isOpen = isRoomAt(endpoint, this.rule);
    const isOpenTight = isOpen && isRoomAt(endpoint, this.tight);
    const wasOpen = hasBit(this.#open, slot);
    const isIdle = isOpen && endpoint.inFlight.requests === 0;
    const isSame = isOpen === wasOpen && isOpenTight === hasBit(this.#openTight, slot);
    if (isSame && isIdle === hasBit(this.#idle, slot)) return;
    this.#rooms = undefined;
    this.#count += (isOpen ? 1 : 0) - (wasOpen ? 1 : 0);
    setBit(this.#open, slot, isOpen);
    setBit(this.#openTight, slot, isOpenTight);
    setBit(this.#idle, slot, isIdle);
  };

  readonly #listener: RowListener = { changed: this.#look };

  #startAnew(endpoints: EndpointList): void {
    this.#slots = endpoints.flat.map(({ slot }) => slot);
    const highest = this.#slots.reduce((most, slot) => Math.max(most, slot), 0);
    this.#rows = new EndpointRows();
    this.#open = new Int32Array((highest >>> 5) + 1);
    this.#openTight = new Int32Array((highest >>> 5) + 1);
    this.#idle = new Int32Array((highest >>> 5) + 1);
    this.#count = 0;
    this.#rooms = undefined;
    this.#hasMoved = false;
  }
}
