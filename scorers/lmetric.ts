/**
 * LMETRIC (2026): takes the least of (uncached prompt tokens before their first token, this request included) x
 * (requests in flight + 1). 1 for the least, one half for twice as much.
 */
import { defineScorer, scoresOfCosts, uncachedTokens } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Uncached tokens pending times requests in flight.',
  create: () => (context, endpoints) =>
    scoresOfCosts(
      endpoints.map(
        (endpoint) =>
          (endpoint.inFlight.uncachedTokens + uncachedTokens(context, endpoint)) *
          (endpoint.inFlight.requests + 1),
      ),
    ),
});
