/**
 * llm-d's `token-load-scorer`: 1 - tokens / thresholdTokens. Tokens are those that must still be computed on the
 * endpoint: uncached prompt tokens of our requests before their first token, and those of this request. With
 * `outputRatio` each prompt token of a request in flight counts that many output tokens besides.
 */
import { defineScorer } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Few uncached prompt tokens in flight, this request included.',
  defaults: { thresholdTokens: 4_194_304, outputRatio: 0 },
  create: ({ thresholdTokens, outputRatio }) => {
    if (!(thresholdTokens > 0)) throw new Error(`thresholdTokens is ${thresholdTokens}; it must be above 0`);
    if (!(outputRatio >= 0)) throw new Error(`outputRatio is ${outputRatio}; it must be 0 or more`);
    return (context, endpoints) =>
      endpoints.map((endpoint) => {
        const { uncachedTokens, promptTokens } = endpoint.inFlight;
        const own = Math.max(0, context.request.promptTokens - context.cachedTokens(endpoint));
        const tokens = uncachedTokens + outputRatio * promptTokens + own;
        return 1 - Math.min(tokens, thresholdTokens) / thresholdTokens;
      });
  },
});
