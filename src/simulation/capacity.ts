import type { EngineModel } from './engine-model.ts';

/** What a request asks of an engine. */
export interface RequestShape {
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly blockIds: readonly number[] | undefined;
}

/** Sequences that usually share a decode step near capacity; they share its base cost. */
const typicalBatch = 24;
/** Share of what an endless cache would save that a fleet's real caches do save. */
const reachableReuse = 0.65;

/**
 * Requests/s at which a fleet is about full: pods over the mean engine time of a request. An estimate within
 * about 20 %, used as "load 1" of traces and presets whose capacity nobody has measured.
 */
export function estimatedCapacityRps(
  requests: readonly RequestShape[],
  model: EngineModel,
  pods: number,
): number {
  const seen = new Set<number>();
  let totalMs = 0;
  for (const { promptTokens, outputTokens, blockIds } of requests) {
    let reused = 0;
    for (const id of blockIds ?? []) {
      if (!seen.has(id)) break;
      reused++;
    }
    for (const id of blockIds ?? []) seen.add(id);
    const share = blockIds === undefined ? 0 : (reachableReuse * reused) / blockIds.length;
    totalMs += engineMs(model, promptTokens, promptTokens * (1 - share), outputTokens);
  }
  return (pods * 1000 * requests.length) / totalMs;
}

function engineMs(
  model: EngineModel,
  promptTokens: number,
  uncachedTokens: number,
  outputTokens: number,
): number {
  const prefillMs =
    model.prefillMsPerToken * uncachedTokens +
    model.attentionMsPerTokenPair * uncachedTokens * (promptTokens - uncachedTokens / 2);
  const stepMs =
    model.baseMs / typicalBatch +
    model.sequenceMs +
    model.contextMsPerToken * (promptTokens + outputTokens / 2);
  return prefillMs + outputTokens * stepMs;
}
