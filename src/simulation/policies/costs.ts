import type { Endpoint } from '../../scheduling/endpoint.ts';
import type { SchedulingContext } from '../../scheduling/scheduling-context.ts';

/** Costs as scores in the same order: 1 for the cheapest, one half for what costs twice as much. */
export function scoresOfCosts(costs: readonly number[]): readonly number[] {
  let least = Number.POSITIVE_INFINITY;
  for (const cost of costs) if (cost < least) least = cost;
  return costs.map((cost) => (cost <= least ? 1 : least / cost));
}

/** Prompt tokens to compute on the endpoint; at least one, whose logits start the answer. */
export function uncachedTokens(context: SchedulingContext, endpoint: Endpoint): number {
  return Math.max(1, context.request.promptTokens - context.cachedTokens(endpoint));
}
