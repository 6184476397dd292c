/** Fewest requests of ours in flight: (least + 1) / (own + 1). */
import { defineScorer } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Few of our own requests in flight.',
  create: () => (_context, endpoints) => {
    let least = Number.POSITIVE_INFINITY;
    for (const { inFlight } of endpoints) least = Math.min(least, inFlight.requests);
    return endpoints.map(({ inFlight }) => (least + 1) / (inFlight.requests + 1));
  },
});
