import type { Endpoint } from './endpoint.ts';
import type { SchedulingContext } from './scheduling-context.ts';

/**
 * Share of the prompt's whole blocks that are believed cached on the endpoint, 0 to 1: what llm-d calls matched
 * over total blocks. Unlike cached over prompt tokens it reaches 1 for a prompt that was seen before, whatever
 * remains after its last whole block. 0 for a prompt without one.
 */
export function matchedShare(context: SchedulingContext, endpoint: Endpoint): number {
  const { count, blockTokens } = context.request.prefix;
  if (count === 0) return 0;
  return Math.min(1, context.cachedTokens(endpoint) / (count * blockTokens));
}
