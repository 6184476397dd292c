import { type Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { FinishedRequest, PickerObserver } from '../endpoint-picker/finished-request.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import { BoundedNames } from './bounded-names.ts';
import { decidingReason } from './deciding-reason.ts';
import { withLegacyNames } from './legacy-names.ts';
import { defineMetrics } from './metric-definitions.ts';
import { poolGauges } from './pool-gauges.ts';
import { type SloVerdict, sloVerdicts, sloVerdictsOfRejected } from './slo-verdicts.ts';

export interface MetricsOptions {
  /** The pool as it is now; read when metrics are asked for. */
  readonly snapshot: () => readonly Endpoint[];
  readonly version: string;
  /** Different model names kept as labels; further ones are counted as `other`. */
  readonly maxModels?: number;
  /** The same for tenants; few, since each multiplies the series of every model. */
  readonly maxTenants?: number;
  /** Also under the names before `llm_d_epp_`. */
  readonly hasLegacyNames?: boolean;
  readonly poolName?: string;
  readonly namespace?: string;
}

export interface Metrics {
  readonly observer: PickerObserver;
  /** A part of an ext-proc stream is over. */
  readonly observeStreamPhase: (phase: string, durationMs: number) => void;
  /** All series in Prometheus' text format. */
  text(): Promise<MetricsText>;
}

export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

/** Of requests that name no tenant, as llm-d calls it. */
const defaultFairnessId = 'default-flow';

/** llm-d's name of an index that is filled from the prompts that were sent. */
const prefixIndexLabels = {
  plugin_type: 'approx-prefix-cache-producer',
  plugin_name: 'approx-prefix-cache-producer',
};

/** Prompts are counted at this where no tokenizer has. */
const bytesPerToken = 4;

/** Turns finished and rejected requests, and the pool as it is, into Prometheus series. */
export function createMetrics(options: MetricsOptions): Metrics {
  const { snapshot, version, maxModels = 1000, maxTenants = 100, hasLegacyNames = false } = options;
  const { poolName = 'default', namespace = '' } = options;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const models = new BoundedNames(maxModels);
  const tenants = new BoundedNames(maxTenants);

  const info = new Gauge({
    name: 'llm_d_epp_info',
    help: 'Always 1; what is running.',
    labelNames: ['build_ref'],
    registers: [registry],
  });
  info.set({ build_ref: `pointsman-${version}` }, 1);

  const series = defineMetrics(registry);
  poolGauges(registry, { snapshot, poolName });

  const labelsOf = ({ model, tenant, priority }: InferenceRequest) => {
    const name = models.bounded(model ?? '');
    const fairnessId = tenant === '' ? defaultFairnessId : tenants.bounded(tenant);
    return { model_name: name, target_model_name: name, fairness_id: fairnessId, priority: String(priority) };
  };

  const observeDecision = (record: SchedulingResult) => {
    const chosen = record.ranking[0];
    series.decision.observe(record.durationMs / 1000);
    series.attempts.inc({
      status: chosen === undefined ? 'failure' : 'success',
      target_model_name: models.bounded(record.model ?? ''),
      endpoint_name: chosen?.name ?? '',
      namespace,
      port: chosen?.address.slice(chosen.address.lastIndexOf(':') + 1) ?? '',
    });
    for (const { kind, name } of record.failures) series.pluginFailures.inc({ kind, plugin: name });
    if (chosen === undefined) return;
    const cachedTokens = record.candidates.find(({ name }) => name === chosen.name)?.cachedTokens ?? 0;
    if (record.promptTokens > 0) {
      series.hitRatio.observe(prefixIndexLabels, cachedTokens / record.promptTokens);
      series.hitBytes.observe(prefixIndexLabels, cachedTokens * bytesPerToken);
    }
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
      countSlo(request, sloVerdicts(finished));
    },
    onRejected: (rejected) => {
      const { request, code, record } = rejected;
      series.rejections.inc({ code });
      series.errors.inc({ ...labelsOf(request), error_code: code });
      if (record !== undefined) observeDecision(record);
      countSlo(request, sloVerdictsOfRejected(rejected));
    },
  };

  function countSlo(request: InferenceRequest, verdicts: readonly SloVerdict[]): void {
    for (const { target, isMet } of verdicts)
      series.slo.inc({ ...labelsOf(request), target, result: isMet ? 'met' : 'missed' });
  }

  function observeUsage(finished: FinishedRequest, labels: ReturnType<typeof labelsOf>): void {
    const { outcome, endpoint, request, predictedCachedTokens } = finished;
    if (outcome.kind !== 'completed' || outcome.usage === undefined) return;
    const { promptTokens, completionTokens, cachedTokens } = outcome.usage;
    if (promptTokens !== undefined) series.inputTokens.observe(labels, promptTokens);
    if (completionTokens !== undefined) series.outputTokens.observe(labels, completionTokens);
    if (completionTokens !== undefined && completionTokens > 0)
      series.ntpot.observe(labels, finished.durationMs / 1000 / completionTokens);
    if (request.isStreaming && finished.ttftMs !== undefined && (completionTokens ?? 0) > 1)
      series.tpot.observe(labels, (finished.durationMs - finished.ttftMs) / 1000 / (completionTokens! - 1));
    if (cachedTokens === undefined) return;
    series.cachedTokens.observe(labels, cachedTokens);
    series.observed.inc({ endpoint }, cachedTokens);
    series.predicted.inc({ endpoint }, predictedCachedTokens);
  }

  return {
    observer,
    observeStreamPhase: (phase, durationMs) => series.streamPhase.observe({ phase }, durationMs / 1000),
    text: async () => {
      const present = new Set(snapshot().map(({ name }) => name));
      const ofEndpoints = [series.decisions, series.served, series.predicted, series.observed];
      await Promise.all([
        ...ofEndpoints.map((each) => forgetAbsent(each, 'endpoint', present)),
        forgetAbsent(series.attempts, 'endpoint_name', present.add('')),
      ]);
      const body = await registry.metrics();
      return { contentType: registry.contentType, body: hasLegacyNames ? withLegacyNames(body) : body };
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
async function forgetAbsent(counter: Counter, label: string, present: ReadonlySet<string>): Promise<void> {
  const { values } = await counter.get();
  for (const { labels } of values) if (!present.has(String(labels[label]))) counter.remove(labels);
}
