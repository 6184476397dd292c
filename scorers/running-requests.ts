/**
 * Prefers endpoints with few requests in all, running and waiting, on the same scale as `queue-depth`.
 * Works also for engines that tell no metrics, since our own requests are always known.
 */
import { defineScorer, estimateRequests, scoreLess } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Few requests running or waiting on the endpoint.',
  defaults: { halfAtRequests: 16 },
  create: ({ halfAtRequests }) => {
    if (!(halfAtRequests > 0)) throw new Error(`halfAtRequests is ${halfAtRequests}; it must be above 0`);
    return (_context, endpoints) => scoreLess(estimateRequests(endpoints), halfAtRequests);
  },
});
