import type { Endpoint } from './endpoint.ts';

/** What a request for an adapter would meet on an endpoint. */
export type AdapterPlacement = 'running' | 'waiting' | 'free-slot' | 'full';

/** Some endpoint tells that this model is an adapter; false for base models and names nobody knows. */
export function isKnownAdapter(model: string, endpoints: readonly Endpoint[]): boolean {
  return endpoints.some(
    ({ adapters, metrics }) =>
      adapters.includes(model) ||
      metrics.runningAdapters.includes(model) ||
      metrics.waitingAdapters.includes(model),
  );
}

export function adapterPlacement({ metrics }: Endpoint, adapter: string): AdapterPlacement {
  const { runningAdapters, waitingAdapters, maxAdapters } = metrics;
  if (runningAdapters.includes(adapter)) return 'running';
  if (waitingAdapters.includes(adapter)) return 'waiting';
  const waitingElsewhere = waitingAdapters.filter((name) => !runningAdapters.includes(name)).length;
  return runningAdapters.length + waitingElsewhere < (maxAdapters ?? 0) ? 'free-slot' : 'full';
}
