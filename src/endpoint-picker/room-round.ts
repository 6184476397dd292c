import type { Round } from '../flow-control/index.ts';
import { memoryWaitMs } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { EndpointList } from '../scheduling/endpoint-list.ts';
import type { Rooms, RoomTable } from './room-table.ts';

/** When an endpoint can take another request. */
export interface RoomRule {
  /** A request sent now would begin within this, milliseconds: after the prefill before it, and with memory. */
  readonly roomMs: number;
  /** Share of its KV memory that may be in use or promised. */
  readonly memoryTarget: number;
}

/** Room for more than one full step (8,192 tokens are 210 ms on an H100), or an engine would have half-empty ones. */
export const defaultRoomRule: RoomRule = Object.freeze({ roomMs: 300, memoryTarget: 0.98 });

/** What tenants over their share keep to, so that the others' requests begin soon. */
export function tightRule({ roomMs, memoryTarget }: RoomRule): RoomRule {
  return { roomMs: overShare.room * roomMs, memoryTarget: overShare.memory * memoryTarget };
}

const overShare = { room: 0.25, memory: 0.9 };

/** Every engine has room, always. */
export const roomEverywhere: RoomRule = Object.freeze({
  roomMs: Number.POSITIVE_INFINITY,
  memoryTarget: Number.POSITIVE_INFINITY,
});

/**
 * An engine where none of ours is has room whatever its gauges say: nothing that we could wait for would make any.
 * So has one where requests of others queue for long: to hold ours back would only give them its place. While
 * nothing is known of the engines' speed, they are taken to be slow until a first token tells, and requests that
 * would never tell are not held back.
 */
export function isRoomAt(endpoint: Endpoint, rule: RoomRule, neededTokens = 0): boolean {
  if (!endpoint.isReady) return false;
  if (endpoint.inFlight.requests === 0) return true;
  if (endpoint.learned.othersPrefillMs > crowded * rule.roomMs) return true;
  const waitMs = prefillWaitMs(endpoint) + memoryWaitMs(endpoint, neededTokens, rule.memoryTarget);
  return waitMs < rule.roomMs;
}

function prefillWaitMs({ learned, inFlight }: Endpoint): number {
  if (learned.isPrefillKnown) return learned.pendingPrefillMs;
  return inFlight.awaitedFirstTokens > 0 ? caution * learned.pendingPrefillMs : 0;
}

/** How much slower than the guess engines may be: the guess fits GPUs, this processor cores. */
const caution = 8;

/** So many times the room: replicas of this process that keep to the same rule stay below it. */
const crowded = 10;

/** What a request brings to an endpoint. */
export interface Burden {
  /** Own prefill there. */
  readonly ownMs: number;
  readonly uncachedTokens: number;
  /** KV memory beyond what is held there now. */
  readonly neededTokens: number;
  readonly isStreaming: boolean;
}

/**
 * The endpoints as one event of flow control sees them. Those that wait do not count as load: each waits for the
 * endpoint that is best for it, and to send the next one elsewhere because of them would compute anew what is
 * cached there, just when engines have no time to spare.
 *
 * Nothing is looked at before it is asked for: most rounds place one request and are over.
 */
export class RoomRound implements Round {
  readonly #rooms: RoomTable;
  readonly #before: EndpointList;
  /** With those that have got requests in this round. */
  #endpoints: EndpointList;
  /** What was sent in this round and does not show in `#endpoints` yet. */
  #sent: { readonly endpoint: Endpoint; readonly burden: Burden } | undefined;
  /** By slot: closed to all, and to tenants over their share. */
  readonly #closed = new Set<number>();
  readonly #closedTight = new Set<number>();
  #had: Rooms | undefined;

  constructor(endpoints: EndpointList, rooms: RoomTable) {
    this.#rooms = rooms;
    this.#before = endpoints;
    this.#endpoints = endpoints;
  }

  get readyEndpoints(): number {
    return this.#before.flat.reduce((ready, { isReady }) => ready + (isReady ? 1 : 0), 0);
  }

  /** The same list until something is sent. */
  get endpoints(): EndpointList {
    this.#showSent();
    return this.#endpoints;
  }

  hasRoom(): boolean {
    this.#showSent();
    const { isOpen, count } = this.#roomsBefore();
    let open = count;
    for (const slot of this.#closed) if (isOpen[slot] === 1) open--;
    return open > 0;
  }

  hasRoomAt(endpoint: Endpoint, { neededTokens }: Burden, isOverShare: boolean): boolean {
    this.#showSent();
    const { rule, tight } = this.#rooms;
    if (this.#closed.has(endpoint.slot)) return false;
    if (!isOverShare) return isRoomAt(endpoint, rule, neededTokens);
    const isClosed = this.#closedTight.has(endpoint.slot) || !isRoomAt(endpoint, rule);
    return !isClosed && isRoomAt(endpoint, tight, neededTokens);
  }

  hasGainedSince(earlier: RoomRound): boolean {
    const now = this.#roomsBefore();
    const before = earlier.#roomsBefore();
    for (let slot = 0; slot < now.isOpen.length; slot++) {
      if (now.isOpen[slot] === 1 && before.isOpen[slot] !== 1) return true;
      if (now.isOpenTight[slot] === 1 && before.isOpenTight[slot] !== 1) return true;
    }
    return false;
  }

  /** Keeps what room the endpoint has from tenants over their share. */
  keepForOthers({ slot }: Endpoint): void {
    this.#closedTight.add(slot);
  }

  /** Keeps the endpoint's room for a request that is overdue, or smaller ones could pass it for ever. */
  keep({ slot }: Endpoint): void {
    this.#closed.add(slot);
  }

  /** A request was sent there. */
  reserved(endpoint: Endpoint, burden: Burden): void {
    this.#showSent();
    this.#sent = { endpoint, burden };
  }

  #showSent(): void {
    if (this.#sent === undefined) return;
    const { endpoint, burden } = this.#sent;
    this.#sent = undefined;
    const { rule, tight } = this.#rooms;
    const now = laden(endpoint, burden);
    this.#endpoints = this.#endpoints.replace(endpoint, now);
    if (!isRoomAt(now, rule)) this.#closed.add(now.slot);
    else if (!isRoomAt(now, tight)) this.#closedTight.add(now.slot);
  }

  #roomsBefore(): Rooms {
    this.#had ??= this.#rooms.of(this.#before);
    return this.#had;
  }
}

/** The endpoint with one more request on it. */
function laden(endpoint: Endpoint, { ownMs, uncachedTokens, neededTokens, isStreaming }: Burden): Endpoint {
  const { inFlight, learned } = endpoint;
  return Object.freeze<Endpoint>({
    ...endpoint,
    inFlight: Object.freeze({
      ...inFlight,
      requests: inFlight.requests + 1,
      waitingForFirstToken: inFlight.waitingForFirstToken + 1,
      awaitedFirstTokens: inFlight.awaitedFirstTokens + (isStreaming ? 1 : 0),
      uncachedTokens: inFlight.uncachedTokens + uncachedTokens,
    }),
    learned: Object.freeze({
      ...learned,
      pendingPrefillMs: learned.pendingPrefillMs + ownMs,
      // Half of its answer, as much as running ones hold of theirs in the mean.
      heldTokens: learned.heldTokens + neededTokens + learned.meanOutputTokens / 2,
    }),
  });
}
