/**
 * llm-d's `session-affinity-scorer` by session id: 1 for the endpoint that got the session's first request, 0 for
 * the others; 0 everywhere for a session that is new. `session-affinity` needs no memory, but ignores the load
 * when a session begins.
 */
import { defineScorer, type Scorer, SessionPins } from 'pointsman/scheduling';

export default defineScorer({
  description: "The endpoint that got the session's first request, told by a header.",
  defaults: { headers: ['x-session-id'] as readonly string[], ttlSeconds: 300 },
  create: (parameters): Scorer => {
    const pins = new SessionPins(parameters);
    const score: Scorer = (context, endpoints) => {
      const pinned = pins.pinned(context, endpoints);
      return endpoints.map((_endpoint, at) => (at === pinned ? 1 : 0));
    };
    const chosen: NonNullable<Scorer['chosen']> = (context, endpoint) => pins.pin(context, endpoint);
    return Object.assign(score, { chosen });
  },
});
