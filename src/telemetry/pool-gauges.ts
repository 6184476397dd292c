import { Gauge, type Registry } from 'prom-client';
import type { Endpoint } from '../scheduling/endpoint.ts';

/** Gauges of the pool, read from a snapshot whenever metrics are asked for: nothing to keep in step. */
export function poolGauges(
  registry: Registry,
  { snapshot, poolName }: { readonly snapshot: () => readonly Endpoint[]; readonly poolName: string },
): void {
  const ofPool = (name: string, help: string, value: (ready: readonly Endpoint[]) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['name'],
      registers: [registry],
      collect() {
        this.set({ name: poolName }, value(snapshot().filter(({ isReady }) => isReady)));
      },
    });
  const ofEndpoints = (name: string, help: string, label: string, value: (endpoint: Endpoint) => number) =>
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset();
        for (const endpoint of snapshot()) this.set({ [label]: endpoint.name }, value(endpoint));
      },
    });
  const mean = (ready: readonly Endpoint[], value: (endpoint: Endpoint) => number) =>
    ready.length === 0 ? 0 : ready.reduce((sum, endpoint) => sum + value(endpoint), 0) / ready.length;

  const deviation = (ready: readonly Endpoint[], value: (endpoint: Endpoint) => number) => {
    const middle = mean(ready, value);
    return Math.sqrt(mean(ready, (endpoint) => (value(endpoint) - middle) ** 2));
  };

  ofPool('llm_d_epp_ready_endpoints', 'Endpoints that can be chosen.', (ready) => ready.length);
  const figures: Readonly<Record<string, (endpoint: Endpoint) => number>> = {
    kv_cache_utilization: ({ metrics }) => metrics.kvCacheUsage,
    queue_size: ({ metrics }) => metrics.queuedRequests,
    running_requests: ({ metrics }) => metrics.runningRequests,
  };
  for (const [name, figure] of Object.entries(figures)) {
    ofPool(`llm_d_epp_average_${name}`, 'Mean over ready endpoints.', (ready) => mean(ready, figure));
    ofPool(`llm_d_epp_std_dev_${name}`, 'Standard deviation over ready endpoints.', (ready) =>
      deviation(ready, figure),
    );
  }
  ofEndpoints(
    'llm_d_epp_per_endpoint_queue_size',
    "Requests in the engine's queue.",
    'model_server_endpoint',
    ({ metrics }) => metrics.queuedRequests,
  );
  ofEndpoints(
    'llm_d_epp_inflight_requests',
    'Requests sent and not yet finished.',
    'endpoint_name',
    ({ inFlight }) => inFlight.requests,
  );
  ofEndpoints(
    'llm_d_epp_inflight_tokens',
    'Prompt tokens of these requests.',
    'endpoint_name',
    ({ inFlight }) => inFlight.promptTokens,
  );
  ofEndpoints('pointsman_endpoint_ready', '1 if the endpoint can be chosen.', 'endpoint', ({ isReady }) =>
    Number(isReady),
  );
  ofEndpoints(
    'pointsman_endpoint_metrics_age_seconds',
    "Age of the engine's figures; Infinity before the first.",
    'endpoint',
    ({ metrics }) => metrics.ageMs / 1000,
  );
}
