import { type Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { FinishedRequest, PickerObserver } from '../endpoint-picker/finished-request.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import { BoundedNames } from './bounded-names.ts';
import { decidingReason } from './deciding-reason.ts';
import { defineMetrics } from './metric-definitions.ts';
import { poolGauges } from './pool-gauges.ts';

export interface MetricsOptions {
  /** The pool as it is now; read when metrics are asked for. */
  readonly snapshot: () => readonly Endpoint[];
  readonly version: string;
  /** Different model names kept as labels; further ones are counted as `other`. */
  readonly maxModels?: number;
}

export interface Metrics {
  readonly observer: PickerObserver;
  /** All series in Prometheus' text format. */
  text(): Promise<MetricsText>;
}

export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

/** Turns finished and rejected requests, and the pool as it is, into Prometheus series. */
export function createMetrics({ snapshot, version, maxModels = 1000 }: MetricsOptions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const models = new BoundedNames(maxModels);

  const info = new Gauge({
    name: 'llm_d_epp_info',
    help: 'Always 1; what is running.',
    labelNames: ['build_ref'],
    registers: [registry],
  });
  info.set({ build_ref: `pointsman-${version}` }, 1);

  const series = defineMetrics(registry);
  poolGauges(registry, snapshot);

  const labelsOf = ({ model, priority }: InferenceRequest) => {
    const name = models.bounded(model ?? '');
    return { model_name: name, target_model_name: name, priority: String(priority) };
  };

  const observeDecision = (record: SchedulingResult) => {
    const chosen = record.ranking[0];
    series.decision.observe(record.durationMs / 1000);
    series.attempts.inc({ status: chosen === undefined ? 'failure' : 'success' });
    for (const { kind, name } of record.failures) series.pluginFailures.inc({ kind, plugin: name });
    if (chosen === undefined) return;
    series.decisions.inc({ endpoint: chosen.name, reason: decidingReason(record) });
    if (Number.isFinite(chosen.metrics.ageMs)) series.metricsAge.observe(chosen.metrics.ageMs / 1000);
  };

  const observer: PickerObserver = {
    onFinished: (finished) => {
      const { request, record, outcome, endpoint, durationMs } = finished;
      const labels = labelsOf(request);
      observeDecision(record);
      series.requests.inc(labels);
      series.duration.observe(labels, durationMs / 1000);
      series.served.inc({ endpoint, outcome: outcome.kind });
      series.retries.inc(finished.retries);
      if (finished.ttftMs !== undefined)
        series.ttft.observe({ ...labels, streaming: String(request.isStreaming) }, finished.ttftMs / 1000);
      if (outcome.kind !== 'completed') series.errors.inc({ ...labels, error_code: errorCode(finished) });
      else observeUsage(finished, labels);
    },
    onRejected: (request, code, record) => {
      series.rejections.inc({ code });
      series.errors.inc({ ...labelsOf(request), error_code: code });
      if (record !== undefined) observeDecision(record);
    },
  };

  function observeUsage(finished: FinishedRequest, labels: ReturnType<typeof labelsOf>): void {
    const { outcome, endpoint, request, predictedCachedTokens } = finished;
    if (outcome.kind !== 'completed' || outcome.usage === undefined) return;
    const { promptTokens, completionTokens, cachedTokens } = outcome.usage;
    if (promptTokens !== undefined) series.inputTokens.observe(labels, promptTokens);
    if (completionTokens !== undefined) series.outputTokens.observe(labels, completionTokens);
    if (request.isStreaming && finished.ttftMs !== undefined && (completionTokens ?? 0) > 1)
      series.tpot.observe(labels, (finished.durationMs - finished.ttftMs) / 1000 / (completionTokens! - 1));
    if (cachedTokens === undefined) return;
    series.cachedTokens.observe(labels, cachedTokens);
    series.observed.inc({ endpoint }, cachedTokens);
    series.predicted.inc({ endpoint }, predictedCachedTokens);
  }

  return {
    observer,
    text: async () => {
      const present = new Set(snapshot().map(({ name }) => name));
      await Promise.all(
        [series.decisions, series.served, series.predicted, series.observed].map((each) =>
          forgetAbsent(each, present),
        ),
      );
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

/** A bounded set: outcome kinds, and the engine's status as its class. */
function errorCode({ outcome }: FinishedRequest): string {
  return outcome.kind === 'rejected_by_engine'
    ? `engine_${Math.floor(outcome.status / 100)}xx`
    : outcome.kind;
}

/** Series of endpoints that have left the pool end, or a busy cluster would grow them without bound. */
async function forgetAbsent(counter: Counter, present: ReadonlySet<string>): Promise<void> {
  const { values } = await counter.get();
  for (const { labels } of values) if (!present.has(String(labels['endpoint']))) counter.remove(labels);
}
