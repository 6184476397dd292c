/**
 * llm-d's `prefix-cache-scorer`: the share of the prompt's blocks that are believed cached, blended with the
 * absolute length of the match: lengthWeight x min(1, matched / lengthScaleTokens)^2 + (1 - lengthWeight) x share.
 */
import { defineScorer, matchedShare } from 'pointsman/scheduling';

export default defineScorer({
  description: "Share of the prompt's blocks believed cached, and the length of the match.",
  defaults: { lengthWeight: 0, lengthScaleTokens: 8192 },
  create: ({ lengthWeight, lengthScaleTokens }) => {
    if (!(lengthWeight >= 0 && lengthWeight <= 1))
      throw new Error(`lengthWeight is ${lengthWeight}; it must be from 0 to 1`);
    if (!(lengthScaleTokens > 0))
      throw new Error(`lengthScaleTokens is ${lengthScaleTokens}; it must be above 0`);
    return (context, endpoints) =>
      endpoints.map((endpoint) => {
        const share = matchedShare(context, endpoint);
        if (lengthWeight === 0) return share;
        const length = Math.min(1, context.cachedTokens(endpoint) / lengthScaleTokens);
        return lengthWeight * length * length + (1 - lengthWeight) * share;
      });
  },
});
