import { collectDefaultMetrics, Registry } from 'prom-client';
import type { PickerObserver } from '../endpoint-picker/finished-request.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import { withLegacyNames } from './legacy-names.ts';
import { defineMetrics } from './metric-definitions.ts';
import { type PoolCounters, poolCounters } from './pool-counters.ts';
import { type FullEndpoint, poolGauges } from './pool-gauges.ts';
import { type PrefixIndexFigures, prefixIndexFamilies } from './prefix-index-families.ts';
import { queueGauges } from './queue-gauges.ts';
import { requestMetrics } from './request-metrics.ts';
import { type RequestLabelLimits, RequestSeriesTable, unknownRequest } from './request-series.ts';
import { type Family, gauge } from './series.ts';
import { type StreamMetrics, streamMetrics } from './stream-metrics.ts';

export interface MetricsOptions {
  /** The pool as it is now; read when metrics are asked for. */
  readonly snapshot: () => readonly Endpoint[];
  readonly version: string;
  readonly limits?: Partial<RequestLabelLimits>;
  /** Also under the names before `llm_d_epp_`. */
  readonly hasLegacyNames?: boolean;
  readonly poolName?: string;
  readonly namespace?: string;
  /** Of the gauge of saturation. */
  readonly fullEndpoint?: FullEndpoint;
  /** Requests that have an endpoint and are not finished. */
  readonly openRequests?: () => Iterable<InferenceRequest>;
  /** Of the prefix index. */
  readonly prefixIndex?: () => PrefixIndexFigures;
  /** Requests that wait; undefined without flow control. */
  readonly waiting?: (() => Iterable<InferenceRequest> | undefined) | undefined;
}

export interface Metrics {
  readonly observer: PickerObserver;
  readonly pool: PoolCounters;
  readonly streams: StreamMetrics;
  /** A prompt was looked up in the prefix index, in so many milliseconds. */
  readonly onLookup: (durationMs: number) => void;
  /** A door refused a request, with this code of the catalogue, before the picker was asked. */
  readonly refused: (code: string) => void;
  /** All series in Prometheus' text format. */
  text(): Promise<MetricsText>;
}

export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

const defaultLimits: RequestLabelLimits = { maxModels: 1000, maxTenants: 100, maxSets: 500 };

/** Counts what happens, and makes Prometheus' text of it and of the pool as it is when it is asked for. */
export function createMetrics(options: MetricsOptions): Metrics {
  const { snapshot, hasLegacyNames = false, poolName = 'default', namespace = '', fullEndpoint } = options;
  const ofProcess = new Registry();
  collectDefaultMetrics({ register: ofProcess });
  const series = defineMetrics();
  const table = new RequestSeriesTable(series, { ...defaultLimits, ...options.limits });
  const pool = poolCounters(series, snapshot);
  const refused = (code: string, requests = 1) => {
    series.rejections.of(code).value += requests;
    series.errors.of(...unknownRequest, code).value += requests;
  };
  const streams = streamMetrics(series, refused);
  const isServed = (model: string) => snapshot().some(({ models }) => models.includes(model));
  const families: readonly Family[] = [
    ...ownGauges(options, table),
    ...queueGauges(options, table, isServed),
    ...series.families,
    ...poolGauges({ snapshot, poolName, namespace, ...(fullEndpoint && { fullEndpoint }) }),
    streams.inFlight,
  ];

  return {
    observer: requestMetrics({
      series,
      table,
      isServed,
      hasFlowControl: () => options.waiting?.() !== undefined,
      poolName,
      namespace,
    }),
    pool,
    streams,
    onLookup: (durationMs) => series.lookupLatency.of().observe(durationMs / 1000),
    refused,
    text: async () => {
      pool.forgetAbsent();
      const lines: string[] = [];
      for (const family of families) family.write(lines);
      const body = hasLegacyNames ? withLegacyNames(lines) : lines.join('\n');
      return { contentType: ofProcess.contentType, body: `${body}\n${await ofProcess.metrics()}` };
    },
  };
}

function ownGauges(options: MetricsOptions, table: RequestSeriesTable): Family[] {
  const { version, openRequests = () => [], prefixIndex } = options;
  const ofRequest = ['model_name', 'target_model_name', 'fairness_id', 'priority'];
  const gauges = [
    gauge({
      name: 'llm_d_epp_info',
      help: 'Always 1; what is running.',
      labelNames: ['commit', 'build_ref'],
      read: () => [[['', `pointsman-${version}`], 1]],
    }),
    gauge({
      name: 'llm_d_epp_request_running',
      help: 'Requests that have an endpoint and are not finished.',
      labelNames: ofRequest,
      read: () => running(openRequests(), table),
    }),
  ];
  return prefixIndex === undefined ? gauges : [...gauges, ...prefixIndexFamilies(prefixIndex)];
}

function running(requests: Iterable<InferenceRequest>, table: RequestSeriesTable) {
  const counts = new Map<readonly string[], number>();
  for (const labels of table.labelSets()) counts.set(labels, 0);
  for (const request of requests) {
    const { labels } = table.of(request);
    counts.set(labels, (counts.get(labels) ?? 0) + 1);
  }
  return counts;
}
