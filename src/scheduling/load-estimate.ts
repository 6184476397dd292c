/**
 * How busy the endpoints are now, from figures that are some 100 ms old and from what we have sent since.
 *
 * The rule for old figures: a scraped figure holds at the moment of the scrape; every request that we have
 * sent since is known exactly (`sentSinceScrape`) and added. Their number grows with the age of the figure,
 * so an old figure loses its say by itself. An endpoint that has never told anything is taken to be as busy
 * as the mean of those that have: it must not look ideal, nor be shut out.
 */
import type { Endpoint } from './endpoint.ts';

/**
 * Requests believed to wait in each engine's queue.
 *
 * A queue at the scrape means that what we sent since waits too. No queue means that the engine started all
 * it had; of what we sent since it may start some at once. The square root says that: the first few differ
 * enough to spread a burst over equal engines, 64 weigh like 1.6 queued requests, too little to leave a warm
 * engine, and some hundreds weigh like a real queue.
 */
export function estimateQueues(endpoints: readonly Endpoint[]): number[] {
  const mean = meanOfTold(endpoints, (endpoint) => endpoint.metrics.queuedRequests);
  return endpoints.map(({ metrics, inFlight: { sentSinceScrape } }) => {
    const queued = metrics.ageMs === Number.POSITIVE_INFINITY ? mean : metrics.queuedRequests;
    return queued > 0 ? queued + sentSinceScrape : 0.2 * Math.sqrt(sentSinceScrape);
  });
}

/** Requests believed to be in each engine, queued ones included; never fewer than our own. */
export function estimateRequests(endpoints: readonly Endpoint[]): number[] {
  const told = ({ metrics }: Endpoint) => metrics.queuedRequests + metrics.runningRequests;
  const mean = meanOfTold(endpoints, told);
  return endpoints.map((endpoint) => {
    const { metrics, inFlight } = endpoint;
    if (metrics.ageMs === Number.POSITIVE_INFINITY) return Math.max(mean, inFlight.requests);
    return Math.max(told(endpoint) + inFlight.sentSinceScrape, inFlight.requests);
  });
}

/** Share of each engine's KV blocks believed in use, 0 to 1. */
export function estimateKvCacheUsage(endpoints: readonly Endpoint[]): number[] {
  const mean = meanOfTold(endpoints, (endpoint) => endpoint.metrics.kvCacheUsage);
  return endpoints.map(({ metrics, inFlight }) => {
    if (metrics.ageMs === Number.POSITIVE_INFINITY) return mean;
    return Math.min(1, metrics.kvCacheUsage + shareSentSince(metrics, inFlight));
  });
}

/** What the prompts sent since the scrape will fill, beyond what is believed cached for them. */
function shareSentSince(metrics: Endpoint['metrics'], inFlight: Endpoint['inFlight']): number {
  const capacityTokens = (metrics.totalBlocks ?? 0) * (metrics.blockSizeTokens ?? 0);
  if (capacityTokens === 0 || inFlight.waitingForFirstToken === 0) return 0;
  const shareSince = Math.min(1, inFlight.sentSinceScrape / inFlight.waitingForFirstToken);
  return (inFlight.uncachedTokens / capacityTokens) * shareSince;
}

/**
 * One score per figure, 1 for the smallest: (least + half) / (figure + half). Small differences count little
 * (10 against 11 is 0.92), ratios count on busy fleets, and an idle fleet's endpoint falls to one half when
 * it has `half`. Min-max scaling would give 10 and 11 the scores 1 and 0.
 */
export function scoreLess(figures: readonly number[], half: number): number[] {
  let least = Number.POSITIVE_INFINITY;
  for (const figure of figures) if (figure < least) least = figure;
  return figures.map((figure) => (least + half) / (figure + half));
}

/**
 * One score per figure, 1 for the smallest and 0 for the largest, linear between; 1 for all if they are equal.
 * What llm-d's queue and running-requests scorers do. For figures as they were scraped (`scrapedFigures`):
 * over fresher ones the first request sent to an idle fleet would already span the whole scale.
 */
export function scoreMinMax(figures: readonly number[]): number[] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const figure of figures) {
    if (figure < least) least = figure;
    if (figure > most) most = figure;
  }
  return figures.map((figure) => (least === most ? 1 : (most - figure) / (most - least)));
}

/** A figure of each endpoint as it was scraped; the mean of the others where an endpoint has told nothing. */
export function scrapedFigures(
  endpoints: readonly Endpoint[],
  figure: (endpoint: Endpoint) => number,
): number[] {
  const mean = meanOfTold(endpoints, figure);
  return endpoints.map((endpoint) =>
    endpoint.metrics.ageMs === Number.POSITIVE_INFINITY ? mean : figure(endpoint),
  );
}

function meanOfTold(endpoints: readonly Endpoint[], figure: (endpoint: Endpoint) => number): number {
  let sum = 0;
  let told = 0;
  for (const endpoint of endpoints) {
    if (endpoint.metrics.ageMs === Number.POSITIVE_INFINITY) continue;
    sum += figure(endpoint);
    told++;
  }
  return told === 0 ? 0 : sum / told;
}
