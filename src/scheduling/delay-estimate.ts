/**
 * Delays on an endpoint in milliseconds, from what the pool has learned of it and from what we have sent there.
 * Nothing here is scraped but the share of KV blocks in use, so slow scrapes hardly matter.
 */
import type { Endpoint } from './endpoint.ts';
import type { SchedulingContext } from './scheduling-context.ts';

/**
 * Cost of attending to one earlier token, relative to the matrix work of one token: 4.6e-5 for an 8B model,
 * 5.2e-5 for a 32B one (presets of the simulator). It matters from some 10,000 tokens on.
 */
const attentionShare = 4.8e-5;

/** Prompt tokens to compute on the endpoint; at least one, whose logits start the answer. */
export function uncachedTokens(context: SchedulingContext, endpoint: Endpoint): number {
  return Math.max(1, context.request.promptTokens - context.cachedTokens(endpoint));
}

/** Prefill that was sent there and has not produced a first token. */
export function pendingPrefillMs({ inFlight, learned }: Endpoint): number {
  return learned.prefillMsPerToken * inFlight.uncachedTokens;
}

/** Prefill of the last `uncached` tokens of a prompt, alone on the endpoint. */
export function ownPrefillMs({ learned }: Endpoint, promptTokens: number, uncached: number): number {
  return learned.prefillMsPerToken * uncached * (1 + attentionShare * (promptTokens - uncached / 2));
}

/**
 * Tokens by which an endpoint with this load exceeds `target`, a share of its KV cache; below zero there is
 * room. -Infinity for an engine that does not tell its cache's size.
 */
export function missingMemoryTokens({ inFlight, metrics, learned }: Endpoint, target: number): number {
  const capacity = learned.kvCapacityTokens;
  if (capacity === undefined) return Number.NEGATIVE_INFINITY;
  return metrics.kvCacheUsage * capacity + inFlight.uncachedTokens - target * capacity;
}
