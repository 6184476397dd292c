import type { FinishedRequest, RejectedRequest } from '../endpoint-picker/finished-request.ts';

export type SloTarget = 'ttft' | 'tpot';

export interface SloVerdict {
  readonly target: SloTarget;
  readonly isMet: boolean;
}

/**
 * Whether a request's targets were met. A target that it did not name has no verdict, nor has one that could not
 * be seen: the first token of an answer that comes as a whole, or anything of a request that was itself at fault,
 * or whose client left in time. What failed or was turned away has missed its targets.
 */
export function sloVerdicts({
  request,
  outcome,
  ttftMs,
  durationMs,
}: FinishedRequest): readonly SloVerdict[] {
  const { slo, isStreaming } = request;
  switch (outcome.kind) {
    case 'completed': {
      if (!isStreaming || ttftMs === undefined) return [];
      const further = (outcome.usage?.completionTokens ?? 0) - 1;
      return [
        ...verdict('ttft', slo.ttftMs, ttftMs),
        ...(further > 0 ? verdict('tpot', slo.tpotMs, (durationMs - ttftMs) / further) : []),
      ];
    }
    case 'client_aborted':
    case 'cut_at_shutdown':
    case 'worker_lost':
      return isStreaming ? ofUnfinished(slo.ttftMs, ttftMs, durationMs) : [];
    case 'rejected_by_engine':
      return outcome.status < 500 && outcome.status !== 429 ? [] : missed(request);
    case 'connect_failed':
    case 'upstream_failed':
      return missed(request);
  }
}

/** The same for a request that got no endpoint. */
export function sloVerdictsOfRejected({ request, code, waitedMs }: RejectedRequest): readonly SloVerdict[] {
  if (code === 'client_closed') return ofUnfinished(request.slo.ttftMs, undefined, waitedMs);
  return turnedAway.has(code) ? missed(request) : [];
}

const turnedAway: ReadonlySet<string> = new Set([
  'overloaded',
  'queue_timeout',
  'no_endpoints',
  'shutting_down',
  'internal',
]);

/** A client that leaves may do so because the first token is late. */
function ofUnfinished(
  targetMs: number | undefined,
  ttftMs: number | undefined,
  elapsedMs: number,
): readonly SloVerdict[] {
  if (ttftMs !== undefined) return verdict('ttft', targetMs, ttftMs);
  return targetMs !== undefined && elapsedMs > targetMs ? [{ target: 'ttft', isMet: false }] : [];
}

function missed({ slo }: FinishedRequest['request']): readonly SloVerdict[] {
  const never = Number.POSITIVE_INFINITY;
  return [...verdict('ttft', slo.ttftMs, never), ...verdict('tpot', slo.tpotMs, never)];
}

function verdict(target: SloTarget, targetMs: number | undefined, ms: number): readonly SloVerdict[] {
  return targetMs === undefined ? [] : [{ target, isMet: ms <= targetMs }];
}
