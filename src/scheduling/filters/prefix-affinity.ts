import type { Endpoint } from '../endpoint.ts';
import { defineFilter } from '../plugins.ts';
import { matchedShare } from '../prefix-share.ts';

/**
 * llm-d's `prefix-cache-affinity-filter`, sticky until saturated: keeps the endpoints that hold at least
 * `threshold` of the prompt's blocks, unless the best of them is expected to answer `maxTtftPenaltyMs` later than
 * the best of the others (0 = keeps them whatever they cost). The expectation is prompt tokens waiting for their
 * first token over the peak prefill rate.
 */
export default defineFilter({
  description: 'Keeps endpoints that hold most of the prompt, until they are saturated.',
  defaults: {
    threshold: 0.8,
    explorationProbability: 0,
    maxTtftPenaltyMs: 18_000,
    peakPrefillTokensPerSecond: 15_928,
    outputRatio: 0,
  },
  create: (parameters) => {
    const { threshold, explorationProbability, maxTtftPenaltyMs, peakPrefillTokensPerSecond, outputRatio } =
      parameters;
    if (!(threshold <= 1)) throw new Error(`threshold is ${threshold}; it must be at most 1`);
    if (!(explorationProbability >= 0 && explorationProbability <= 1))
      throw new Error(`explorationProbability is ${explorationProbability}; it must be from 0 to 1`);
    if (!(maxTtftPenaltyMs >= 0))
      throw new Error(`maxTtftPenaltyMs is ${maxTtftPenaltyMs}; it must be 0 or more`);
    if (!(peakPrefillTokensPerSecond > 0))
      throw new Error(`peakPrefillTokensPerSecond is ${peakPrefillTokensPerSecond}; it must be above 0`);
    if (!(outputRatio >= 0)) throw new Error(`outputRatio is ${outputRatio}; it must be 0 or more`);
    const ttftMs = ({ inFlight }: Endpoint) =>
      ((inFlight.uncachedTokens + outputRatio * inFlight.promptTokens) / peakPrefillTokensPerSecond) * 1000;
    const bestTtftMs = (endpoints: readonly Endpoint[]) => Math.min(...endpoints.map(ttftMs));

    return (context, endpoints) => {
      if (endpoints.length <= 1 || threshold <= 0) return endpoints;
      if (explorationProbability > 0 && context.random() < explorationProbability) return endpoints;
      const sticky: Endpoint[] = [];
      const others: Endpoint[] = [];
      for (const endpoint of endpoints)
        (matchedShare(context, endpoint) >= threshold ? sticky : others).push(endpoint);
      if (sticky.length === 0) return endpoints;
      const isSaturated =
        maxTtftPenaltyMs > 0 &&
        others.length > 0 &&
        bestTtftMs(sticky) - bestTtftMs(others) > maxTtftPenaltyMs;
      return isSaturated ? endpoints : sticky;
    };
  },
});
