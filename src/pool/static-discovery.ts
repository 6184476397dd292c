import { checkEndpoints, EndpointSource } from './endpoint-list.ts';
import type { EndpointSpec } from './endpoint-state.ts';
import type { InferencePool } from './inference-pool.ts';

/** Puts a fixed list of endpoints into the pool. Throws, before it changes anything, if one of them is bad. */
export function applyStaticEndpoints(pool: InferencePool, endpoints: readonly EndpointSpec[]): void {
  checkEndpoints(endpoints);
  new EndpointSource({ pool }).apply(endpoints);
}
