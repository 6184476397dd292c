/**
 * llm-d's `active-request-scorer`: 1 for an endpoint with at most `idleThreshold` of our requests in flight,
 * else (most - own) / most x maxBusyScore, where `most` is the largest number of any endpoint.
 */
import { defineScorer } from 'pointsman/scheduling';

export default defineScorer({
  description: 'Few of our own requests in flight, against the busiest endpoint.',
  defaults: { idleThreshold: 0, maxBusyScore: 1 },
  create: ({ idleThreshold, maxBusyScore }) => {
    if (!(idleThreshold >= 0)) throw new Error(`idleThreshold is ${idleThreshold}; it must be 0 or more`);
    if (!(maxBusyScore >= 0 && maxBusyScore <= 1))
      throw new Error(`maxBusyScore is ${maxBusyScore}; it must be from 0 to 1`);
    return (_context, endpoints) => {
      let most = 0;
      for (const { inFlight } of endpoints) if (inFlight.requests > most) most = inFlight.requests;
      return endpoints.map(({ inFlight: { requests } }) =>
        requests <= idleThreshold ? 1 : ((most - requests) / most) * maxBusyScore,
      );
    };
  },
});
