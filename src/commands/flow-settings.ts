import type { Configuration } from '../configuration/index.ts';
import type { RoomRule } from '../endpoint-picker/index.ts';
import { defaultLimits, type FlowControlLimits } from '../flow-control/index.ts';

/** What flow control keeps to, as configured. */
export function flowOf({ flowControl }: Configuration): {
  readonly isEnabled: boolean;
  readonly limits: FlowControlLimits;
  readonly room: RoomRule;
} {
  const { ttlMs, ttlMsByPriority, roomMs, memoryTarget, maxQueuedRequests, maxQueuedBytes, ageWeight } =
    flowControl;
  const limits = { maxQueuedRequests, maxQueuedBytes, ageWeight };
  const byPriority = Object.entries(ttlMsByPriority).map(([priority, ms]) => [Number(priority), ms] as const);
  return {
    isEnabled: flowControl.enabled,
    limits: { ...defaultLimits, ...limits, defaultTtlMs: ttlMs, ttlMs: new Map(byPriority) },
    room: { roomMs, memoryTarget },
  };
}
