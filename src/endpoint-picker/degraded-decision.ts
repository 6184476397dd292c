import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { PluginFailure, SchedulingResult } from '../scheduling/scheduling-result.ts';

export const degradedProfile = 'degraded';

/**
 * What is decided when the profile itself has failed: the ready endpoints in turn, those that list the model if
 * any does. A worse choice, but an answer. The record tells it by its profile and its failures.
 */
export function degradedDecision(
  request: InferenceRequest,
  endpoints: readonly Endpoint[],
  turn: number,
  failures: readonly PluginFailure[],
): SchedulingResult {
  const ready = endpoints.filter(({ isReady }) => isReady);
  const { model } = request;
  const serving = model === undefined ? [] : ready.filter(({ models }) => models.includes(model));
  const candidates = serving.length > 0 ? serving : ready;
  const first = candidates.length === 0 ? 0 : turn % candidates.length;
  return {
    profile: degradedProfile,
    requestId: request.id,
    model,
    promptTokens: request.promptTokens,
    considered: endpoints.length,
    filters: [],
    candidates: candidates.map(({ name, address, metrics, inFlight }) => ({
      name,
      address,
      metricsAgeMs: metrics.ageMs,
      queuedRequests: metrics.queuedRequests,
      runningRequests: metrics.runningRequests,
      kvCacheUsage: metrics.kvCacheUsage,
      inFlightRequests: inFlight.requests,
      cachedTokens: 0,
    })),
    scores: [],
    totals: candidates.map(() => 0),
    tied: candidates.length,
    picker: 'round-robin',
    failures,
    ranking: [...candidates.slice(first), ...candidates.slice(0, first)],
    durationMs: 0,
  };
}
