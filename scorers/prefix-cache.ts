/**
 * Prefers endpoints that hold the start of the prompt in their KV cache: the share of the prompt that need
 * not be computed again. What an endpoint holds is the prefix index's belief, not a promise.
 */
import { defineScorer } from 'pointsman/scheduling';

export default defineScorer({
  description: "Share of the prompt that is believed to lie in the endpoint's KV cache.",
  create: () => (context, endpoints) => {
    const { promptTokens } = context.request;
    return endpoints.map((endpoint) =>
      promptTokens > 0 ? context.cachedTokens(endpoint) / promptTokens : 0,
    );
  },
});
