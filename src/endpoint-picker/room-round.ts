import type { Round } from '../flow-control/index.ts';
import { missingMemoryTokens, pendingPrefillMs } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';

/** When an endpoint can take another request. */
export interface RoomRule {
  /** Its undone prefill is less than this, milliseconds. */
  readonly roomMs: number;
  /** Share of its KV memory that may be in use or promised. */
  readonly memoryTarget: number;
}

export const defaultRoomRule: RoomRule = Object.freeze({ roomMs: 200, memoryTarget: 0.97 });

/**
 * The endpoints as one event of flow control sees them. A request that must wait counts as promised to its best
 * endpoint: those looked at after it see that load too and may prefer another.
 */
export class RoomRound implements Round {
  readonly #rule: RoomRule;
  readonly #endpoints: Endpoint[];
  /** By slot: those that had room when the round began, and those that have it now. */
  readonly #hadRoom: boolean[] = [];
  readonly #hasRoom: boolean[] = [];
  #withRoom = 0;
  readonly readyEndpoints: number;

  constructor(endpoints: readonly Endpoint[], rule: RoomRule) {
    this.#rule = rule;
    this.#endpoints = [...endpoints];
    let ready = 0;
    for (const endpoint of endpoints) {
      const hasRoom = isRoomAt(endpoint, rule);
      this.#hadRoom[endpoint.slot] = hasRoom;
      this.#hasRoom[endpoint.slot] = hasRoom;
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

  hasRoomAt({ slot }: Endpoint): boolean {
    return this.#hasRoom[slot] === true;
  }

  hasGainedSince(earlier: RoomRound): boolean {
    return this.#hadRoom.some((hadRoom, slot) => hadRoom && earlier.#hadRoom[slot] !== true);
  }

  /** A request waits for this endpoint. It does not take the room, only the attraction. */
  promise(endpoint: Endpoint, tokens: number): void {
    const { inFlight, learned } = endpoint;
    const memory = learned.kvCapacityTokens ?? Number.POSITIVE_INFINITY;
    const kvCacheUsage = endpoint.metrics.kvCacheUsage + learned.meanOutputTokens / memory;
    this.#replace(endpoint, {
      ...endpoint,
      metrics: { ...endpoint.metrics, kvCacheUsage },
      inFlight: { ...inFlight, uncachedTokens: inFlight.uncachedTokens + tokens },
    });
  }

  /** A request was sent there. */
  reserved(endpoint: Endpoint, tokens: number): void {
    const { inFlight } = endpoint;
    const now: Endpoint = {
      ...endpoint,
      inFlight: {
        ...inFlight,
        requests: inFlight.requests + 1,
        waitingForFirstToken: inFlight.waitingForFirstToken + 1,
        uncachedTokens: inFlight.uncachedTokens + tokens,
      },
    };
    this.#replace(endpoint, now);
    if (isRoomAt(now, this.#rule) || !this.hasRoomAt(now)) return;
    this.#hasRoom[now.slot] = false;
    this.#withRoom--;
  }

  #replace(endpoint: Endpoint, by: Endpoint): void {
    const at = this.#endpoints.indexOf(endpoint);
    if (at >= 0) this.#endpoints[at] = Object.freeze(by);
  }
}

/** An idle engine has room whatever its gauges say: nothing that it does would make any. */
function isRoomAt(endpoint: Endpoint, { roomMs, memoryTarget }: RoomRule): boolean {
  if (!endpoint.isReady) return false;
  if (endpoint.inFlight.requests === 0) return true;
  return pendingPrefillMs(endpoint) < roomMs && missingMemoryTokens(endpoint, memoryTarget) < 0;
}
