import type { Endpoint } from '../scheduling/endpoint.ts';
import { choiceOf, spelledOut } from '../scheduling/led-result.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';

/**
 * The same decision with the endpoints that are not ready at the end of its ranking. A profile without the filter
 * `ready` may prefer one that is down; it never has room, and the request would wait for it beside idle ones.
 */
export function readyFirst(result: SchedulingResult): SchedulingResult {
  if (choiceOf(result)?.isReady !== false) return result;
  const { ranking } = result;
  const isReady = (endpoint: Endpoint) => endpoint.isReady;
  const isDown = (endpoint: Endpoint) => !endpoint.isReady;
  return { ...spelledOut(result), ranking: [...ranking.filter(isReady), ...ranking.filter(isDown)] };
}
