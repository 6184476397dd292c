/** A decode step of an 8B model on an H100 (fitted to Vidur's forms): base, per sequence, per context token. */
const baseMs = 7.4;
const sequenceMs = 0.01;
const contextMsPerToken = 5.6e-5;

/** Prefill of others lengthens steps, so the factor follows fast answers sooner than slow ones. */
const upward = 0.004;
const downward = 0.016;
/** The first answers count fully, until this many have been seen. */
const eagerSamples = 20;
const clip = 4;

/**
 * Time of a decode step as it depends on the load: the shape is that of a known engine, one factor is learned
 * from the time per output token.
 */
export class StepTime {
  #factor: number | undefined;
  #samples = 0;

  /** The factor learned; undefined before the first answer. */
  get factor(): number | undefined {
    return this.#factor;
  }

  /** `load` is that of the engine at the answer's end. */
  answered(msPerOutputToken: number, load: StepLoad, priorFactor: number): void {
    const usual = this.#factor ?? priorFactor;
    const sample = msPerOutputToken / shapeMs(load, load.decodingMs / msPerOutputToken);
    this.#samples++;
    const rate = Math.max(1 / (1 + this.#samples), sample < usual ? downward : upward);
    const isEager = this.#samples <= eagerSamples;
    const clipped = isEager ? sample : Math.min(clip * usual, sample);
    this.#factor = usual + rate * (clipped - usual);
  }
}

/** What a decode step reads, ours and others'. */
export interface StepLoad {
  readonly requests: number;
  /** Tokens of the prompts, and what others hold. */
  readonly contextTokens: number;
  /** Time since the first tokens of the answers under way, summed: over the step's time, the tokens generated. */
  readonly decodingMs: number;
}

/**
 * Time of a step of an engine with this factor. What is generated grows by one token a step, so the step's time is on
 * both sides, s = a + b / s, and has a closed form. A prompt that several requests share is read once, so tokens
 * beyond a few capacities say nothing more.
 */
export function stepMsOf(
  factor: number,
  load: StepLoad,
  kvCapacityTokens = Number.POSITIVE_INFINITY,
): number {
  const promptsMs = factor * shapeMs(load, 0);
  const stepMs =
    (promptsMs + Math.sqrt(promptsMs ** 2 + 4 * factor * contextMsPerToken * load.decodingMs)) / 2;
  const mostContextTokens = 3 * kvCapacityTokens;
  if (load.contextTokens + load.decodingMs / stepMs <= mostContextTokens) return stepMs;
  return factor * shapeMs({ ...load, contextTokens: mostContextTokens }, 0);
}

function shapeMs({ requests, contextTokens }: StepLoad, generatedTokens: number): number {
  return baseMs + sequenceMs * requests + contextMsPerToken * (contextTokens + generatedTokens);
}
