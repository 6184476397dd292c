/**
 * Prefers endpoints with free KV blocks: 1 - usage. Engines count only blocks of live requests as used;
 * blocks that are merely kept for reuse count as free, so a warm endpoint loses nothing here.
 */
import { defineScorer, estimateKvCacheUsage } from 'pointsman/scheduling';

export default defineScorer({
  description: "Free share of the endpoint's KV blocks.",
  create: () => (_context, endpoints) => estimateKvCacheUsage(endpoints).map((usage) => 1 - usage),
});
