import type { FinishedRequest, PickerObserver } from '../endpoint-picker/finished-request.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { Log } from './log.ts';

/** One line per request when it ends, made from the decision record: never prompts, bodies, headers or keys. */
export function requestLog(log: Log): PickerObserver {
  return {
    onFinished: (finished) => {
      const { outcome, record } = finished;
      for (const { kind, name, message } of record.failures)
        log.warn({ id: record.requestId, kind, plugin: name, reason: message }, 'plugin failed');
      const fields = { ...identity(finished.request), ...courseOf(finished) };
      if (outcome.kind === 'connect_failed' || outcome.kind === 'upstream_failed')
        log.warn({ ...fields, reason: outcome.reason }, 'request failed');
      else log.info(fields, 'request');
    },
    onRejected: ({ request, code, record, waitedMs }) => {
      const considered = record?.considered ?? 0;
      log.warn(
        {
          ...identity(request),
          code,
          waitedMs: rounded(waitedMs),
          considered,
          filters: record?.filters.map(removedBy),
        },
        'request rejected',
      );
    },
  };
}

function identity({ id, model, tenant, priority, promptTokens, headers }: InferenceRequest) {
  const clientId = headers.get('x-request-id');
  return {
    id,
    ...(clientId === undefined ? {} : { clientId: clientId.slice(0, 128) }),
    model,
    ...(tenant === '' ? {} : { tenant }),
    ...(priority === 0 ? {} : { priority }),
    promptTokens,
  };
}

function courseOf(finished: FinishedRequest) {
  const { record, endpoint, outcome, retries, queuedMs, ttftMs, durationMs } = finished;
  const usage = outcome.kind === 'completed' ? outcome.usage : undefined;
  return {
    endpoint,
    outcome: outcome.kind,
    status: 'status' in outcome ? outcome.status : undefined,
    ...(queuedMs === 0 ? {} : { queuedMs: rounded(queuedMs) }),
    ttftMs: rounded(ttftMs),
    durationMs: rounded(durationMs),
    inputTokens: usage?.promptTokens,
    outputTokens: usage?.completionTokens,
    cachedTokens: usage?.cachedTokens,
    predictedCachedTokens: finished.predictedCachedTokens,
    ...(retries === 0 ? {} : { retries }),
    decisionMs: rounded(record.durationMs),
  };
}

function rounded(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Math.round(milliseconds * 100) / 100;
}

function removedBy({ filter, removed }: { readonly filter: string; readonly removed: readonly string[] }) {
  return `${filter} removed ${removed.length}`;
}

/** Tells several observers; the first that wants to know the gaps of a request is told them. */
export function observers(...all: readonly PickerObserver[]): PickerObserver {
  return {
    onFinished: (finished) => {
      for (const each of all) each.onFinished(finished);
    },
    onRejected: (rejected) => {
      for (const each of all) each.onRejected(rejected);
    },
    pieceGaps: (request) => first(all, (each) => each.pieceGaps?.(request)),
    onPluginTime: (kind, name, durationMs) => {
      for (const each of all) each.onPluginTime?.(kind, name, durationMs);
    },
  };
}

function first<T, Found>(all: readonly T[], find: (each: T) => Found | undefined): Found | undefined {
  for (const each of all) {
    const found = find(each);
    if (found !== undefined) return found;
  }
  return undefined;
}
