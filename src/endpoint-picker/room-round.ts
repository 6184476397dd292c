import type { Round } from '../flow-control/index.ts';
import { memoryWaitMs } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';

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
function tight({ roomMs, memoryTarget }: RoomRule): RoomRule {
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
 */
export class RoomRound implements Round {
  readonly #rule: RoomRule;
  /** A copy from the first change on. */
  #endpoints: readonly Endpoint[];
  #changed: Endpoint[] | undefined;
  /** By slot: those that had room when the round began, and those that have it now. */
  readonly #hadRoom: boolean[] = [];
  readonly #hasRoom: boolean[] = [];
  /** The same for tenants over their share. */
  readonly #tight: RoomRule;
  readonly #hadTightRoom: boolean[] = [];
  readonly #hasTightRoom: boolean[] = [];
  #withRoom = 0;
  readonly readyEndpoints: number;

  constructor(endpoints: readonly Endpoint[], rule: RoomRule) {
    this.#rule = rule;
    this.#tight = tight(rule);
    this.#endpoints = endpoints;
    let ready = 0;
    for (const endpoint of endpoints) {
      const hasRoom = isRoomAt(endpoint, rule);
      this.#hadRoom[endpoint.slot] = hasRoom;
      this.#hasRoom[endpoint.slot] = hasRoom;
      const hasTightRoom = hasRoom && isRoomAt(endpoint, this.#tight);
      this.#hadTightRoom[endpoint.slot] = hasTightRoom;
      this.#hasTightRoom[endpoint.slot] = hasTightRoom;
      if (hasRoom) this.#withRoom++;
      if (endpoint.isReady) ready++;
    }
    this.readyEndpoints = ready;
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  hasRoom(): boolean {
    return this.#withRoom > 0;
  }

  hasRoomAt(endpoint: Endpoint, { neededTokens }: Burden, isOverShare: boolean): boolean {
    const hasRoom = isOverShare ? this.#hasTightRoom : this.#hasRoom;
    const rule = isOverShare ? this.#tight : this.#rule;
    return hasRoom[endpoint.slot] === true && isRoomAt(endpoint, rule, neededTokens);
  }

  hasGainedSince(earlier: RoomRound): boolean {
    const hasGained = (now: readonly boolean[], before: readonly boolean[]) =>
      now.some((had, slot) => had && before[slot] !== true);
    return hasGained(this.#hadRoom, earlier.#hadRoom) || hasGained(this.#hadTightRoom, earlier.#hadTightRoom);
  }

  /** Keeps what room the endpoint has from tenants over their share. */
  keepForOthers({ slot }: Endpoint): void {
    this.#hasTightRoom[slot] = false;
  }

  /** Keeps the endpoint's room for a request that is overdue, or smaller ones could pass it for ever. */
  keep({ slot }: Endpoint): void {
    this.#close(slot);
  }

  /** A request was sent there. */
  reserved(endpoint: Endpoint, burden: Burden): void {
    const now = laden(endpoint, burden);
    this.#replace(endpoint, now);
    if (!isRoomAt(now, this.#rule)) this.#close(now.slot);
    else if (!isRoomAt(now, this.#tight)) this.#hasTightRoom[now.slot] = false;
  }

  #close(slot: number): void {
    if (this.#hasRoom[slot] !== true) return;
    this.#hasRoom[slot] = false;
    this.#hasTightRoom[slot] = false;
    this.#withRoom--;
  }

  #replace(endpoint: Endpoint, by: Endpoint): void {
    this.#changed ??= [...this.#endpoints];
    this.#endpoints = this.#changed;
    const at = this.#changed.indexOf(endpoint);
    if (at >= 0) this.#changed[at] = by;
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
