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

/**
 * Makes a recorded decision again: the same request, endpoints, loads, caches and random numbers, another profile.
 * Plugins that remember are told of the recorded choice, since it is the one that the later records follow from.
 */
export function replayDecision(recorded: RecordedDecision, profile: Profile): Replayed {
  const { request, endpoints, cachedTokens, nowMs, seed, waitingMs, result } = recorded;
  const context: SchedulingContext = {
    request,
    nowMs,
    random: seededRandom(seed),
    waitingMs,
    cachedTokens: ({ slot }) => cachedTokens.get(slot) ?? 0,
  };
  const replayed = profile.propose(context, endpoints);
  const before = result.ranking[0];
  const chosen = endpoints.find(({ name }) => name === before);
  if (chosen !== undefined) profile.confirm(context, chosen);
  return { recorded, replayed, before, after: replayed.ranking[0]?.name };
}
