import { Gauge, type Registry } from 'prom-client';
import type { Endpoint } from '../scheduling/endpoint.ts';

/** Gauges of the pool, read from a snapshot whenever metrics are asked for: nothing to keep in step. */
export function poolGauges(registry: Registry, snapshot: () => readonly Endpoint[]): void {
  const ofPool = (name: string, help: string, value: (ready: readonly Endpoint[]) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['name'],
      registers: [registry],
      collect() {
        this.set({ name: 'default' }, value(snapshot().filter(({ isReady }) => isReady)));
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

  ofPool('llm_d_epp_ready_endpoints', 'Endpoints that can be chosen.', (ready) => ready.length);
  ofPool('llm_d_epp_average_kv_cache_utilization', 'Mean over ready endpoints, 0 to 1.', (ready) =>
    mean(ready, ({ metrics }) => metrics.kvCacheUsage),
  );
  ofPool('llm_d_epp_average_queue_size', 'Mean over ready endpoints.', (ready) =>
    mean(ready, ({ metrics }) => metrics.queuedRequests),
  );
  ofPool('llm_d_epp_average_running_requests', 'Mean over ready endpoints.', (ready) =>
    mean(ready, ({ metrics }) => metrics.runningRequests),
  );
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
