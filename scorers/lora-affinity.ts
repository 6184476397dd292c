/**
 * Prefers endpoints where the request's LoRA adapter is in use: 1 if it runs there, 0.8 if a slot is free,
 * 0.6 if it waits for a slot, else 0. A base model, or a name that no endpoint calls an adapter, scores 1
 * everywhere.
 */
import { adapterPlacement, defineScorer, isKnownAdapter } from 'pointsman/scheduling';

const scores = { running: 1, 'free-slot': 0.8, waiting: 0.6, full: 0 } as const;

export default defineScorer({
  description: "The request's LoRA adapter is loaded on the endpoint, or has room.",
  create:
    () =>
    ({ request: { model } }, endpoints) => {
      if (model === undefined || !isKnownAdapter(model, endpoints)) return endpoints.map(() => 1);
      return endpoints.map((endpoint) => scores[adapterPlacement(endpoint, model)]);
    },
});
