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
  const tokens = neededTokens > mostTokens(endpoint, rule) ? 0 : neededTokens;
  return roomWaitMs(endpoint, rule, tokens) < rule.roomMs;
}

/** How long a request that needs so many tokens of memory is expected to wait before it begins there, milliseconds. */
export function roomWaitMs(endpoint: Endpoint, rule: RoomRule, neededTokens: number): number {
  return prefillWaitMs(endpoint) + memoryWaitMs(endpoint, neededTokens, rule.memoryTarget);
}

/** What asks for more is refused by the engine, or its tokens are fewer than we think: no wait would make room. */
export function mostTokens({ learned }: Endpoint, rule: RoomRule): number {
  return rule.memoryTarget * (learned.kvCapacityTokens ?? Number.POSITIVE_INFINITY);
}

function prefillWaitMs({ learned, inFlight }: Endpoint): number {
  if (learned.isPrefillKnown) return learned.pendingPrefillMs;
  return inFlight.awaitedFirstTokens > 0 ? caution * learned.pendingPrefillMs : 0;
}

/** How much slower than the guess engines may be: the guess fits GPUs, this processor cores. */
const caution = 8;

/** So many times the room: replicas of this process that keep to the same rule stay below it. */
const crowded = 10;
