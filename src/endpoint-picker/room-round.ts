import type { Round } from '../flow-control/index.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { EndpointList } from '../scheduling/endpoint-list.ts';
import type { EngineKeeper } from './engine-keeper.ts';
import { isRoomAt, mostTokens, roomWaitMs } from './room-rule.ts';
import { hasGained, isIdleIn, isOpenIn, type Rooms, type RoomTable } from './room-table.ts';

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
  readonly keeper: EngineKeeper;
  readonly #rooms: RoomTable;
  readonly #before: EndpointList;
  /** With those that have got requests in this round. */
  #endpoints: EndpointList;
  /** What was sent in this round and does not show in `#endpoints` yet. */
  #sent: { readonly endpoint: Endpoint; readonly burden: Burden } | undefined;
  /** Slots closed to all, and to tenants over their share; few, and mostly none. */
  readonly #closed: number[] = [];
  readonly #closedTight: number[] = [];
  #had: Rooms | undefined;

  constructor(endpoints: EndpointList, rooms: RoomTable, keeper: EngineKeeper) {
    this.keeper = keeper;
    this.#rooms = rooms;
    this.#before = endpoints;
    this.#endpoints = endpoints;
  }

  get readyEndpoints(): number {
    return this.#before.flat.reduce((ready, { isReady }) => ready + (isReady ? 1 : 0), 0);
  }

  get ownEndpoints(): number {
    return this.#before.flat.reduce((own, endpoint) => own + (endpoint.isReady ? ownShare(endpoint) : 0), 0);
  }

  /** The same list until something is sent. */
  get endpoints(): EndpointList {
    this.#showSent();
    return this.#endpoints;
  }

  hasRoom(isKeptOpen: boolean): boolean {
    this.#showSent();
    const rooms = this.#roomsBefore();
    let open = rooms.count;
    for (const slot of this.#closed) if (isOpenIn(rooms, slot)) open--;
    const kept = isKeptOpen ? undefined : this.keeper.slot;
    const isOpen = kept !== undefined && isOpenIn(rooms, kept) && !isIdleIn(rooms, kept);
    if (isOpen && !this.#closed.includes(kept)) open--;
    return open > 0;
  }

  hasRoomAt(endpoint: Endpoint, { neededTokens }: Burden, isOverShare: boolean): boolean {
    this.#showSent();
    const { rule, tight } = this.#rooms;
    if (this.#closed.includes(endpoint.slot)) return false;
    if (!isOverShare) return isRoomAt(endpoint, rule, neededTokens);
    const isClosed = this.#closedTight.includes(endpoint.slot) || !isRoomAt(endpoint, rule);
    return !isClosed && isRoomAt(endpoint, tight, neededTokens);
  }

  hasGainedSince(earlier: RoomRound): boolean {
    return hasGained(this.#roomsBefore(), earlier.#roomsBefore());
  }

  /** Keeps what room the endpoint has from tenants over their share. */
  keepForOthers({ slot }: Endpoint): void {
    addOnce(this.#closedTight, slot);
  }

  /** Takes nobody else in this round. */
  close({ slot }: Endpoint): void {
    addOnce(this.#closed, slot);
  }

  /** A smaller request would find room there. */
  isRoomForLess(endpoint: Endpoint, { neededTokens }: Burden): boolean {
    if (this.#closed.includes(endpoint.slot)) return false;
    return neededTokens > 0 && isRoomAt(endpoint, this.#rooms.rule);
  }

  /** How long the request would wait there if nobody else came, milliseconds. Undefined if it does not fit there at all. */
  waitMsAt(endpoint: Endpoint, { neededTokens }: Burden): number | undefined {
    const { rule } = this.#rooms;
    if (!endpoint.isReady || neededTokens > mostTokens(endpoint, rule)) return undefined;
    return roomWaitMs(endpoint, rule, neededTokens);
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
    if (!isRoomAt(now, rule)) addOnce(this.#closed, now.slot);
    else if (!isRoomAt(now, tight)) addOnce(this.#closedTight, now.slot);
  }

  #roomsBefore(): Rooms {
    this.#had ??= this.#rooms.of(this.#before);
    return this.#had;
  }
}

/** Of the requests there, by gauges and what we have sent since. */
function ownShare({ metrics, inFlight: { requests, sentSinceScrape } }: Endpoint): number {
  const all = metrics.runningRequests + metrics.queuedRequests + sentSinceScrape;
  return all > requests ? requests / all : 1;
}

function addOnce(slots: number[], slot: number): void {
  if (!slots.includes(slot)) slots.push(slot);
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
