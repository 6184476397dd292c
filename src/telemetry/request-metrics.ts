import type { FinishedRequest, PickerObserver } from '../endpoint-picker/finished-request.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import { decidingReason } from './deciding-reason.ts';
import type { MetricSeries } from './metric-definitions.ts';
import type { RequestSeries, RequestSeriesTable } from './request-series.ts';
import { type SloVerdict, sloVerdicts, sloVerdictsOfRejected } from './slo-verdicts.ts';

export interface RequestMetricsOptions {
  readonly series: MetricSeries;
  readonly table: RequestSeriesTable;
  /** Some endpoint serves the model: it is no invention of a client. */
  readonly isServed: (model: string) => boolean;
  readonly hasFlowControl: () => boolean;
  readonly poolName: string;
  readonly namespace: string;
}

/** llm-d's name of an index that is filled from the prompts that were sent. */
export const prefixIndexLabels = ['approx-prefix-cache-producer', 'approx-prefix-cache-producer'] as const;

/** Who predicts delays, in the place of llm-d's plugin. */
const predictorLabels = ['endpoint-calibration', 'endpoint-calibration'] as const;

/** Prompts are counted at this where no tokenizer has. */
const bytesPerToken = 4;

/** The gaps of one request in this many are measured: reading the clock for every piece would cost too much. */
const gapSampling = 8;

/** Turns finished and rejected requests into series. Plain additions: it runs for every request. */
export function requestMetrics(options: RequestMetricsOptions): PickerObserver {
  const { series, table, poolName, namespace } = options;
  let turn = 0;

  return {
    onFinished: (finished) => {
      const { request, record, outcome, endpoint } = finished;
      const own = table.of(request);
      countDecision(record, own.labels[1]);
      if (options.hasFlowControl()) countFlow(own.labels, 'Dispatched', finished.queuedMs);
      own.requests.value++;
      own.duration.observe(finished.durationMs / 1000);
      own.requestBytes.observe(request.bodyBytes);
      if (finished.responseBytes > 0) own.responseBytes.observe(finished.responseBytes);
      series.served.of(endpoint, outcome.kind).value++;
      if (finished.retries > 0) series.retries.of().value += finished.retries;
      if (request.requestedModel !== undefined && request.requestedModel !== request.model)
        series.rewrites.of('configuration', own.labels[0], own.labels[1]).value++;
      observeFirstToken(finished, own);
      if (outcome.kind !== 'completed') series.errors.of(...own.labels, errorCode(finished)).value++;
      else observeUsage(finished, own);
      countSlo(own.labels, sloVerdicts(finished));
    },
    onRejected: (rejected) => {
      const { code, record, waitedMs } = rejected;
      const labels = table.labelsOf(table.withKnownModel(rejected.request, options.isServed));
      series.rejections.of(code).value++;
      series.errors.of(...labels, code).value++;
      if (record !== undefined) countDecision(record, labels[1]);
      if (options.hasFlowControl()) countFlow(labels, flowOutcomes[code] ?? 'RejectedOther', waitedMs);
      countSlo(labels, sloVerdictsOfRejected(rejected));
    },
    pieceGaps: (request) => {
      turn = (turn + 1) % gapSampling;
      if (turn !== 1 || !request.isStreaming) return undefined;
      const own = table.of(request);
      own.itl ??= series.itl.of(...own.labels);
      const { itl } = own;
      return (gapMs) => itl.observe(gapMs / 1000);
    },
    onPluginTime: (kind, name, durationMs) =>
      series.pluginDuration.of(extensionPoints[kind], name, name).observe(durationMs / 1000),
  };

  function countDecision(record: SchedulingResult, model: string): void {
    const { brief } = record;
    const chosen = brief === undefined ? record.ranking[0] : brief.choice;
    series.decision.of().observe(record.durationMs / 1000);
    const port = chosen?.address.slice(chosen.address.lastIndexOf(':') + 1) ?? '';
    const status = chosen === undefined ? 'failure' : 'success';
    series.attempts.of(status, model, chosen?.name ?? '', namespace, port).value++;
    for (const { kind, name } of record.failures) series.pluginFailures.of(kind, name).value++;
    if (chosen === undefined) return;
    if (record.promptTokens > 0) {
      const ofChosen = brief ?? record.candidates.find(({ name }) => name === chosen.name);
      const cachedTokens = ofChosen?.cachedTokens ?? 0;
      series.hitRatio.of(...prefixIndexLabels).observe(cachedTokens / record.promptTokens);
      series.hitBytes.of(...prefixIndexLabels).observe(cachedTokens * bytesPerToken);
    }
    series.decisions.of(chosen.name, decidingReason(record)).value++;
    if (Number.isFinite(chosen.metrics.ageMs)) series.metricsAge.of().observe(chosen.metrics.ageMs / 1000);
  }

  function observeFirstToken(finished: FinishedRequest, own: RequestSeries): void {
    const { request, outcome, ttftMs, durationMs } = finished;
    if (request.isStreaming) {
      if (ttftMs === undefined) return;
      own.ttft ??= series.ttft.of(...own.labels, 'true');
      own.ttft.observe(ttftMs / 1000);
      observePrediction(finished, own);
    } else if (outcome.kind === 'completed') {
      own.wholeTtft ??= series.ttft.of(...own.labels, 'false');
      own.wholeTtft.observe(durationMs / 1000);
    }
  }

  /** Beside what was observed, so that the two can be compared: of the same requests, and of no retried one. */
  function observePrediction({ predicted, retries }: FinishedRequest, own: RequestSeries): void {
    if (predicted === undefined || retries > 0) return;
    const [model, target] = own.labels;
    own.predictedTtft ??= series.predictedTtft.of(...predictorLabels, model, target);
    own.predictedTtft.observe(predicted.ttftMs / 1000);
    own.predictedTpot ??= series.predictedTpot.of(...predictorLabels, model, target);
    own.predictedTpot.observe(predicted.tpotMs / 1000);
  }

  function observeUsage(finished: FinishedRequest, own: RequestSeries): void {
    const { outcome, endpoint, request, durationMs, ttftMs } = finished;
    if (outcome.kind !== 'completed' || outcome.usage === undefined) return;
    const { promptTokens, completionTokens = 0, cachedTokens } = outcome.usage;
    if (promptTokens !== undefined) {
      own.inputTokens ??= series.inputTokens.of(...own.labels);
      own.inputTokens.observe(promptTokens);
    }
    if (completionTokens > 0) {
      own.outputTokens ??= series.outputTokens.of(...own.labels);
      own.outputTokens.observe(completionTokens);
      own.ntpot ??= series.ntpot.of(...own.labels);
      own.ntpot.observe(durationMs / 1000 / completionTokens);
    }
    if (request.isStreaming && ttftMs !== undefined && completionTokens > 1) {
      own.tpot ??= series.tpot.of(...own.labels);
      own.tpot.observe((durationMs - ttftMs) / 1000 / (completionTokens - 1));
    }
    if (cachedTokens === undefined) return;
    own.cachedTokens ??= series.cachedTokens.of(...own.labels);
    own.cachedTokens.observe(cachedTokens);
    series.observed.of(endpoint).value += cachedTokens;
    series.predicted.of(endpoint).value += finished.predictedCachedTokens;
  }

  function countFlow(
    [model, target, tenant, priority]: RequestSeries['labels'],
    outcome: string,
    waitedMs: number,
  ): void {
    series.flowRequests.of(outcome, priority, poolName).value++;
    series.queueDuration.of(tenant, priority, outcome, poolName, model, target).observe(waitedMs / 1000);
  }

  function countSlo(labels: RequestSeries['labels'], verdicts: readonly SloVerdict[]): void {
    for (const { target, isMet } of verdicts) {
      series.slo.of(...labels, target, isMet ? 'met' : 'missed').value++;
      if (!isMet) series.sloViolations.of(...predictorLabels, labels[0], labels[1], target).value++;
    }
  }
}

/** A bounded set: outcome kinds, and the engine's status as its class. */
function errorCode({ outcome }: FinishedRequest): string {
  return outcome.kind === 'rejected_by_engine'
    ? `engine_${Math.floor(outcome.status / 100)}xx`
    : outcome.kind;
}

/** What llm-d's flow control calls the ends of a wait. */
const flowOutcomes: Readonly<Record<string, string>> = {
  overloaded: 'RejectedCapacity',
  queue_timeout: 'EvictedTTL',
  no_endpoints: 'RejectedNoEndpoints',
  client_closed: 'EvictedContextCancelled',
  shutting_down: 'EvictedOther',
};

const extensionPoints = { filter: 'Filter', scorer: 'Scorer', picker: 'Picker' } as const;
