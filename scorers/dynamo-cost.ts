/**
 * The cost of Dynamo's KV router at temperature 0: prefillWeight x tokens to prefill, this request included, plus
 * prompt tokens in flight. 1 for the least, one half for twice as much.
 */
import { defineScorer, scoresOfCosts, uncachedTokens } from 'pointsman/scheduling';

export default defineScorer({
  description: "Dynamo's cost: tokens to prefill, weighted, plus tokens in use by decodes.",
  defaults: { prefillWeight: 1 },
  create: ({ prefillWeight }) => {
    if (!(prefillWeight >= 0)) throw new Error(`prefillWeight is ${prefillWeight}; it must be 0 or more`);
    return (context, endpoints) =>
      scoresOfCosts(
        endpoints.map(
          (endpoint) =>
            prefillWeight * (endpoint.inFlight.uncachedTokens + uncachedTokens(context, endpoint)) +
            endpoint.inFlight.promptTokens,
        ),
      );
  },
});
