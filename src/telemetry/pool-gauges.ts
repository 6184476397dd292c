import type { Endpoint } from '../scheduling/endpoint.ts';
import { type Family, gauge } from './series.ts';

export interface PoolGaugesOptions {
  readonly snapshot: () => readonly Endpoint[];
  readonly poolName: string;
  /** Of the endpoints. */
  readonly namespace: string;
  readonly fullEndpoint?: FullEndpoint;
}

/** Figures at which an endpoint counts as full; those that are not given do not count. */
export interface FullEndpoint {
  readonly waitingRequests?: number | undefined;
  readonly kvCacheUsage?: number | undefined;
  readonly inFlightRequests?: number | undefined;
}

/** Defaults of llm-d's `utilization-detector`. */
const usualFull: FullEndpoint = { waitingRequests: 5, kvCacheUsage: 0.8 };

/** The name that llm-d's producer has by itself; its guides for autoscalers ask for it. */
const producerName = 'inflight-load-producer';

/** Gauges of the pool, read from a snapshot whenever metrics are asked for: nothing to keep in step. */
export function poolGauges({
  snapshot,
  poolName,
  namespace,
  fullEndpoint = usualFull,
}: PoolGaugesOptions): readonly Family[] {
  const ofPool = (name: string, help: string, value: (ready: readonly Endpoint[]) => number) =>
    gauge({
      name,
      help,
      labelNames: ['name'],
      read: () => [[[poolName], value(snapshot().filter(({ isReady }) => isReady))]],
    });
  const ofEndpoints = (name: string, help: string, label: string, value: (endpoint: Endpoint) => number) =>
    gauge({
      name,
      help,
      labelNames: [label],
      read: () => snapshot().map((endpoint) => [[endpoint.name], value(endpoint)] as const),
    });
  const inFlight = (what: string, help: string, value: (endpoint: Endpoint) => number) =>
    gauge({
      name: `llm_d_epp_inflight_${what}`,
      help,
      labelNames: ['endpoint_name', 'namespace', 'producer_name'],
      read: () => snapshot().map((each) => [[each.name, namespace, producerName], value(each)] as const),
    });
  const figures = Object.entries(averagedFigures).flatMap(([name, figure]) => [
    ofPool(`llm_d_epp_average_${name}`, 'Mean over ready endpoints.', (ready) => mean(ready.map(figure))),
    ofPool(`llm_d_epp_std_dev_${name}`, 'Standard deviation over ready endpoints.', (ready) =>
      deviation(ready.map(figure)),
    ),
  ]);
  return [
    ofPool('llm_d_epp_ready_endpoints', 'Endpoints that can be chosen.', (ready) => ready.length),
    ...figures,
    gauge({
      name: 'llm_d_epp_flow_control_pool_saturation',
      help: `Load of the pool as llm-d's detectors count it: mean of ${measureOf(fullEndpoint)} over ready endpoints; 1 if there is none.`,
      labelNames: ['inference_pool', 'stage'],
      read: () => [
        [
          [poolName, 'effective'],
          saturation(
            snapshot().filter(({ isReady }) => isReady),
            fullEndpoint,
          ),
        ],
      ],
    }),
    gauge({
      name: 'llm_d_epp_per_endpoint_queue_size',
      help: "Requests in the engine's queue.",
      labelNames: ['name', 'model_server_endpoint'],
      read: () => snapshot().map(({ name, metrics }) => [[poolName, name], metrics.queuedRequests] as const),
    }),
    inFlight('requests', 'Requests sent and not yet finished.', (each) => each.inFlight.requests),
    inFlight(
      'tokens',
      'Prompt tokens sent, not believed cached, and not yet computed.',
      (each) => each.inFlight.uncachedTokens,
    ),
    ofEndpoints('pointsman_endpoint_ready', '1 if the endpoint can be chosen.', 'endpoint', ({ isReady }) =>
      Number(isReady),
    ),
    ofEndpoints(
      'pointsman_endpoint_metrics_age_seconds',
      "Age of the engine's figures; +Inf before the first.",
      'endpoint',
      ({ metrics }) => metrics.ageMs / 1000,
    ),
  ];
}

const averagedFigures: Readonly<Record<string, (endpoint: Endpoint) => number>> = {
  kv_cache_utilization: ({ metrics }) => metrics.kvCacheUsage,
  queue_size: ({ metrics }) => metrics.queuedRequests,
  running_requests: ({ metrics }) => metrics.runningRequests,
};

const fullFigures: Readonly<Record<keyof FullEndpoint, (endpoint: Endpoint) => number>> = {
  waitingRequests: ({ metrics }) => metrics.queuedRequests,
  kvCacheUsage: ({ metrics }) => metrics.kvCacheUsage,
  inFlightRequests: ({ inFlight }) => inFlight.requests,
};

function limitsOf(full: FullEndpoint): [keyof FullEndpoint, number][] {
  const figures = Object.keys(fullFigures) as (keyof FullEndpoint)[];
  return figures.flatMap((figure) => (full[figure] === undefined ? [] : [[figure, full[figure]]]));
}

function measureOf(full: FullEndpoint): string {
  const shares = limitsOf(full).map(([figure, limit]) => `${figure} / ${limit}`);
  return shares.length === 1 ? shares[0]! : `max(${shares.join(', ')})`;
}

function saturation(ready: readonly Endpoint[], full: FullEndpoint): number {
  if (ready.length === 0) return 1;
  const limits = limitsOf(full);
  return mean(
    ready.map((endpoint) =>
      Math.max(...limits.map(([figure, limit]) => fullFigures[figure](endpoint) / limit)),
    ),
  );
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}
