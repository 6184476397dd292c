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

/** Work of prefilling the last `uncached` tokens of a prompt, as the matrix work of so many tokens. */
export function prefillWork(promptTokens: number, uncached: number): number {
  return uncached * (1 + attentionShare * (promptTokens - uncached / 2));
}

/** Prefill of the last `uncached` tokens of a prompt, alone on the endpoint. */
export function ownPrefillMs({ learned }: Endpoint, promptTokens: number, uncached: number): number {
  return learned.prefillMsPerToken * prefillWork(promptTokens, uncached);
}

/**
 * How long a request that needs `tokens` more of KV memory would wait there until others have ended: what is
 * missing to `target`, a share of the memory, over the rate at which answers of the usual length give back what
 * their requests hold alone. 0 where there is room, on an idle endpoint, and for an engine that does not tell its cache's size.
 */
export function memoryWaitMs({ inFlight, learned }: Endpoint, tokens: number, target: number): number {
  const { heldTokens, releasableTokens, kvCapacityTokens, stepMs, meanOutputTokens } = learned;
  if (kvCapacityTokens === undefined || inFlight.requests === 0) return 0;
  const missing = heldTokens + tokens - target * kvCapacityTokens;
  return missing > 0 ? (missing * stepMs * meanOutputTokens) / Math.max(1, releasableTokens) : 0;
}
