import { ownPrefillMs } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';

/** What the pool's measurements say of a request at its decision, milliseconds. */
export interface PredictedDelays {
  /** From the arrival to the first token, waiting included. */
  readonly ttftMs: number;
  /** Per further token, at the load of that moment. */
  readonly tpotMs: number;
}

/** Undefined while no engine has shown how fast it prefills. To be asked before the request is reserved there. */
export function predictedDelays(
  endpoint: Endpoint,
  prompt: { readonly tokens: number; readonly cachedTokens: number; readonly queuedMs: number },
): PredictedDelays | undefined {
  const { isPrefillKnown, pendingPrefillMs, othersPrefillMs, stepMs } = endpoint.learned;
  if (!isPrefillKnown) return undefined;
  const uncached = Math.max(1, prompt.tokens - prompt.cachedTokens);
  const ownMs = ownPrefillMs(endpoint, prompt.tokens, uncached);
  return { ttftMs: prompt.queuedMs + pendingPrefillMs + othersPrefillMs + ownMs, tpotMs: stepMs };
}
