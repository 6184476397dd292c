/**
 * How long one engine step takes, after the published forms of Vidur (MLSys 2024) and DistServe (OSDI 2024).
 * With `b` sequences decoding over `C` context tokens and prefill chunks of `n_i` new tokens behind `c_i`:
 *
 *   t = base + pf * sum(n_i) + at * sum(n_i * (c_i + n_i / 2)) + sq * (b + chunks / 2) + kv * C
 */
export interface EngineModel {
  readonly name: string;
  /** base: reading the weights, and the fixed cost of a step. */
  readonly baseMs: number;
  /** pf: matrix work of one prompt token. */
  readonly prefillMsPerToken: number;
  /** at: attention of one new token over one token before it. */
  readonly attentionMsPerTokenPair: number;
  /** sq: one sequence more in the batch. */
  readonly sequenceMs: number;
  /** kv: reading one token of context while decoding. */
  readonly contextMsPerToken: number;
  /** vLLM's `max_num_batched_tokens`. */
  readonly stepTokens: number;
  /** vLLM's `max_num_seqs`. */
  readonly maxSequences: number;
  readonly kvCapacityTokens: number;
}

/** Two of them fitted to what was measured (qwen3-32b by llm-d: 8,192 tokens in 400 ms), two derived from rooflines. */
export const enginePresets = {
  /** 13.96 GFLOP a token at 55 % of 989.5 TFLOP/s; weights at 75 % of 3.35 TB/s; KV at 70 %. */
  'llama8b-h100': {
    name: 'llama8b-h100',
    baseMs: 7.4,
    prefillMsPerToken: 0.0257,
    attentionMsPerTokenPair: 1.18e-6,
    sequenceMs: 0.01,
    contextMsPerToken: 5.6e-5,
    stepTokens: 8192,
    maxSequences: 256,
    kvCapacityTokens: 430_080,
  },
  /** The same compute, 4.8 TB/s and 141 GB. */
  'llama8b-h200': {
    name: 'llama8b-h200',
    baseMs: 5.5,
    prefillMsPerToken: 0.0257,
    attentionMsPerTokenPair: 1.18e-6,
    sequenceMs: 0.01,
    contextMsPerToken: 3.9e-5,
    stepTokens: 8192,
    maxSequences: 256,
    kvCapacityTokens: 820_000,
  },
  'qwen32b-2h100': {
    name: 'qwen32b-2h100',
    baseMs: 15.5,
    prefillMsPerToken: 0.04,
    attentionMsPerTokenPair: 2.1e-6,
    sequenceMs: 0.015,
    contextMsPerToken: 6e-5,
    stepTokens: 8192,
    maxSequences: 256,
    kvCapacityTokens: 262_144,
  },
  /** Prefill from Vidur's profile at tensor parallelism 4; the rest is an estimate. */
  'llama70b-4h100': {
    name: 'llama70b-4h100',
    baseMs: 17,
    prefillMsPerToken: 0.058,
    attentionMsPerTokenPair: 1.5e-6,
    sequenceMs: 0.015,
    contextMsPerToken: 3.5e-5,
    stepTokens: 8192,
    maxSequences: 256,
    kvCapacityTokens: 470_000,
  },
} as const satisfies Record<string, EngineModel>;

export type EnginePresetName = keyof typeof enginePresets;

/** A step that has prefill chunks in it. `attentionPairs` is `sum(n_i * (c_i + n_i / 2))`. */
export function mixedStepMs(
  model: EngineModel,
  prefillTokens: number,
  attentionPairs: number,
  chunks: number,
  decoding: number,
  contextTokens: number,
): number {
  return (
    model.baseMs +
    model.prefillMsPerToken * prefillTokens +
    model.attentionMsPerTokenPair * attentionPairs +
    model.sequenceMs * (decoding + chunks / 2) +
    model.contextMsPerToken * contextTokens
  );
}

/** `steps` decode steps in a row. Each adds one token of context per sequence: an arithmetic series. */
export function decodeRunMs(
  model: EngineModel,
  steps: number,
  decoding: number,
  contextTokens: number,
): number {
  const firstStepMs = model.baseMs + model.sequenceMs * decoding + model.contextMsPerToken * contextTokens;
  return steps * firstStepMs + (model.contextMsPerToken * decoding * steps * (steps - 1)) / 2;
}

/** Whole decode steps finished `elapsedMs` after a run began: the inverse of `decodeRunMs`, rounded down. */
export function decodeStepsWithin(
  model: EngineModel,
  elapsedMs: number,
  decoding: number,
  contextTokens: number,
): number {
  const growthMs = (model.contextMsPerToken * decoding) / 2;
  const linearMs =
    model.baseMs + model.sequenceMs * decoding + model.contextMsPerToken * contextTokens - growthMs;
  const root = Math.sqrt(linearMs * linearMs + 4 * growthMs * elapsedMs);
  let steps = Math.floor((2 * elapsedMs) / (linearMs + root));
  while (decodeRunMs(model, steps + 1, decoding, contextTokens) <= elapsedMs) steps++;
  while (steps > 0 && decodeRunMs(model, steps, decoding, contextTokens) > elapsedMs) steps--;
  return steps;
}

/** Time to first token of a prompt alone on an engine, with `cachedTokens` of it cached. */
export function isolatedPrefillMs(model: EngineModel, promptTokens: number, cachedTokens = 0): number {
  const uncached = Math.max(1, promptTokens - cachedTokens);
  const steps = Math.ceil(uncached / model.stepTokens);
  return (
    steps * (model.baseMs + model.sequenceMs / 2) +
    model.prefillMsPerToken * uncached +
    model.attentionMsPerTokenPair * uncached * (promptTokens - uncached / 2)
  );
}
