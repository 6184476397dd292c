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
      if (outcome.kind === 'connect_failed' || outcome.kind === 'upstream_failed')
        log.warn(fieldsOf(finished, outcome.reason), 'request failed');
      else log.info(fieldsOf(finished, undefined), 'request');
    },
    onRejected: ({ request, code, isFaultOfClient, record, waitedMs }) => {
      const considered = record?.considered ?? 0;
      // What a client can do at will must not be loud; that there is no room, or no engine, may need a person.
      const level = isFaultOfClient ? 'info' : 'warn';
      log[level](
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

/** Undefined fields are not written. One literal, as every request makes one. */
function fieldsOf(finished: FinishedRequest, reason: string | undefined) {
  const { request, record, endpoint, outcome, retries, queuedMs, ttftMs, durationMs } = finished;
  const usage = outcome.kind === 'completed' ? outcome.usage : undefined;
  return {
    id: request.id,
    clientId: request.headers.get('x-request-id')?.slice(0, 128),
    model: request.model,
    tenant: request.tenant === '' ? undefined : request.tenant,
    priority: request.priority === 0 ? undefined : request.priority,
    promptTokens: request.promptTokens,
    endpoint,
    outcome: outcome.kind,
    status: 'status' in outcome ? outcome.status : undefined,
    queuedMs: queuedMs === 0 ? undefined : rounded(queuedMs),
    ttftMs: rounded(ttftMs),
    durationMs: rounded(durationMs),
    inputTokens: usage?.promptTokens,
    outputTokens: usage?.completionTokens,
    cachedTokens: usage?.cachedTokens,
    predictedCachedTokens: finished.predictedCachedTokens,
    retries: retries === 0 ? undefined : retries,
    decisionMs: rounded(record.durationMs),
    reason,
  };
}

function identity({ id, model, tenant, priority, promptTokens, headers }: InferenceRequest) {
  return {
    id,
    clientId: headers.get('x-request-id')?.slice(0, 128),
    model,
    tenant: tenant === '' ? undefined : tenant,
    priority: priority === 0 ? undefined : priority,
    promptTokens,
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
