import { readyFirst } from '../endpoint-picker/index.ts';
import type { Profile } from '../scheduling/profile.ts';
import type { SchedulingContext } from '../scheduling/scheduling-context.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import { seededRandom } from '../scheduling/seeded-random.ts';
import type { RecordedDecision } from './record-schema.ts';

/** One decision, and what the other profile makes of it. Undefined choices found no endpoint. */
export interface Replayed {
  readonly recorded: RecordedDecision;
  readonly replayed: SchedulingResult;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface ReplayOptions {
  /** Requests wait for the endpoint that is best for them: `flowControl.enabled` of the other configuration. */
  readonly hasLateBinding: boolean;
}

/**
 * Makes a recorded decision again: the same request, endpoints, loads, caches and random numbers, another profile.
 * Plugins that remember are told of the recorded choice, since it is the one that the later records follow from.
 * With late binding an endpoint that is down is nobody's choice while another is ready, as in the picker.
 */
export function replayDecision(
  recorded: RecordedDecision,
  profile: Profile,
  { hasLateBinding }: ReplayOptions,
): Replayed {
  const { request, endpoints, cachedTokens, nowMs, seed, waitingMs, result } = recorded;
  const context: SchedulingContext = {
    request,
    nowMs,
    random: seededRandom(seed),
    waitingMs,
    cachedTokens: ({ slot }) => cachedTokens.get(slot) ?? 0,
  };
  const proposed = profile.propose(context, endpoints);
  const replayed = hasLateBinding ? readyFirst(proposed) : proposed;
  const before = result.ranking[0];
  const chosen = endpoints.find(({ name }) => name === before);
  if (chosen !== undefined) profile.confirm(context, chosen);
  return { recorded, replayed, before, after: replayed.ranking[0]?.name };
}
