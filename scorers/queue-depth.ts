/**
 * Prefers endpoints with short queues: (shortest + half) / (queue + half). With the default an endpoint with
 * 2 requests waiting scores 0.5 beside an idle one, with 4 it scores 0.33, and 10 against 11 hardly differ.
 * The queue is the scraped one plus what we have sent since; see `estimateQueues`.
 */
import { defineScorer, estimateQueues, scoreLess } from 'pointsman/scheduling';

export default defineScorer({
  description: "Few requests waiting in the endpoint's queue.",
  defaults: { halfAtRequests: 2 },
  create: ({ halfAtRequests }) => {
    if (!(halfAtRequests > 0)) throw new Error(`halfAtRequests is ${halfAtRequests}; it must be above 0`);
    return (_context, endpoints) => scoreLess(estimateQueues(endpoints), halfAtRequests);
  },
});
