import type { EndpointInFlight } from '../scheduling/endpoint.ts';

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

  answered(msPerOutputToken: number, load: Load, priorFactor: number): void {
    const usual = this.#factor ?? priorFactor;
    const sample = msPerOutputToken / stepShapeMs(load);
    this.#samples++;
    const rate = Math.max(1 / (1 + this.#samples), sample < usual ? downward : upward);
    const isEager = this.#samples <= eagerSamples;
    const clipped = isEager ? sample : Math.min(clip * usual, sample);
    this.#factor = usual + rate * (clipped - usual);
  }
}

type Load = Pick<EndpointInFlight, 'requests' | 'promptTokens'>;

/** A prompt that several requests share is read once, so tokens beyond a few capacities say nothing more. */
export function stepShapeMs(
  { requests, promptTokens }: Load,
  kvCapacityTokens = Number.POSITIVE_INFINITY,
): number {
  return baseMs + sequenceMs * requests + contextMsPerToken * Math.min(promptTokens, 3 * kvCapacityTokens);
}
