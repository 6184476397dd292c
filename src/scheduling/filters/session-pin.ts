import { defineFilter, type Filter } from '../plugins.ts';
import { SessionPins } from '../session-pins.ts';

/** llm-d's `session-affinity-filter` by session id. */
export default defineFilter({
  description: "Keeps the endpoint that got the session's first request; all while the session has none.",
  defaults: { headers: ['x-session-id'] as readonly string[], ttlSeconds: 300 },
  create: (parameters): Filter => {
    const pins = new SessionPins(parameters);
    const filter: Filter = (context, endpoints) => {
      const pinned = pins.pinned(context, endpoints);
      return pinned === undefined ? endpoints : [endpoints[pinned]!];
    };
    const chosen: NonNullable<Filter['chosen']> = (context, endpoint) => pins.pin(context, endpoint);
    return Object.assign(filter, { chosen });
  },
});
