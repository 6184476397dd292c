import { defineFilter, steady } from '../plugins.ts';

/** Should come first in every profile; the pool lists endpoints that are down so that people can see them. */
export default defineFilter({
  description: 'Keeps endpoints that are reachable and not ejected for failures.',
  create: () => steady((_context, endpoints) => endpoints.filter((endpoint) => endpoint.isReady)),
});
