/**
 * llm-d's `queue-scorer`: the scraped queues, scaled between the shortest (1) and the longest (0). A queue of
 * 11 beside one of 10 scores 0: `queue-depth` judges small differences more gently.
 */
import { defineScorer, scoreMinMax, scrapedFigures } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Scraped queue, scaled between the shortest and the longest.',
  create: () => (_context, endpoints) =>
    scoreMinMax(scrapedFigures(endpoints, ({ metrics }) => metrics.queuedRequests)),
});
