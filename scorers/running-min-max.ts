/** llm-d's `running-requests-size-scorer`: the scraped batch sizes, scaled between smallest (1) and largest (0). */
import { defineScorer, scoreMinMax, scrapedFigures } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Scraped running requests, scaled between the fewest and the most.',
  create: () => (_context, endpoints) =>
    scoreMinMax(scrapedFigures(endpoints, ({ metrics }) => metrics.runningRequests)),
});
