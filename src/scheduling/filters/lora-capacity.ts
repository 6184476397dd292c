import { adapterPlacement, isKnownAdapter } from '../adapters.ts';
import { defineFilter, steady } from '../plugins.ts';

/** Loading an adapter where every slot is taken makes the request wait; all pass if it must wait anywhere. */
export default defineFilter({
  description: "Keeps endpoints that have the request's adapter in use or a free slot for it.",
  create: () =>
    steady(({ request: { model } }, endpoints) => {
      if (model === undefined || !isKnownAdapter(model, endpoints)) return endpoints;
      const kept = endpoints.filter((endpoint) => adapterPlacement(endpoint, model) !== 'full');
      return kept.length === 0 ? endpoints : kept;
    }),
});
