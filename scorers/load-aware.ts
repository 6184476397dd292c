/**
 * llm-d's `load-aware-scorer`: 0.5 for an empty queue, falling in a straight line to 0 at `threshold` waiting
 * requests. The queue is the scraped one plus what we have sent since.
 */
import { defineScorer, estimateQueues } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Few requests waiting, on a fixed scale up to a threshold.',
  defaults: { threshold: 128 },
  create: ({ threshold }) => {
    if (!(threshold > 0)) throw new Error(`threshold is ${threshold}; it must be above 0`);
    return (_context, endpoints) =>
      estimateQueues(endpoints).map((queue) => 0.5 * (1 - Math.min(queue, threshold) / threshold));
  },
});
