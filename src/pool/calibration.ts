import type { EndpointInFlight } from '../scheduling/endpoint.ts';
import { PrefillRate } from './prefill-rate.ts';
import { StepTime, stepShapeMs } from './step-time.ts';

/** Before anything was served: between an 8B model on an H100 (0.026) and a 70B one on four (0.058). */
const unlearnedPrefillMsPerToken = 0.04;
const unlearnedOutputTokens = 300;
const unlearnedPromptWork = 1250;
const outputMemory = 0.99;
const promptMemory = 0.99;

/**
 * Engines that differ by less count as equal, as most fleets are made of equal engines: the noise of single
 * measurements would otherwise steer requests.
 */
const sameWithin = 1.3;

function unlessSame(own: number, ofFleet: number): number {
  return own < sameWithin * ofFleet && ofFleet < sameWithin * own ? ofFleet : own;
}

/** One answer, told at its end. Times are of the pool's clock. */
export interface Answer {
  readonly firstTokenAtMs: number;
  readonly endedAtMs: number;
  readonly outputTokens: number;
}

/** What the whole pool has learned: the prior of an endpoint that has served nothing yet. */
export class FleetCalibration {
  #prefillMs = unlearnedPrefillMsPerToken;
  #stepFactor = 1;
  #outputTokens = unlearnedOutputTokens;
  #answers = 0;
  #promptWork = unlearnedPromptWork;
  #prompts = 0;

  get prefillMsPerToken(): number {
    return this.#prefillMs;
  }

  get stepFactor(): number {
    return this.#stepFactor;
  }

  get meanOutputTokens(): number {
    return this.#outputTokens;
  }

  /** An endpoint's own figures, after it has learned something: the fleet's follow them slowly. */
  learnedPrefill(msPerToken: number): void {
    this.#prefillMs += 0.02 * (msPerToken - this.#prefillMs);
  }

  /** Prefill of a usual prompt, as the matrix work of so many tokens. */
  get meanPromptWork(): number {
    return this.#promptWork;
  }

  prompted(prefillWork: number): void {
    this.#prompts++;
    const rate = Math.max(1 - promptMemory, 1 / this.#prompts);
    this.#promptWork += rate * (prefillWork - this.#promptWork);
  }

  answered(outputTokens: number, stepFactor: number | undefined): void {
    this.#answers++;
    const rate = Math.max(1 - outputMemory, 1 / (20 + this.#answers));
    this.#outputTokens += rate * (outputTokens - this.#outputTokens);
    if (stepFactor !== undefined) this.#stepFactor += 0.02 * (stepFactor - this.#stepFactor);
  }
}

/** What is learned of one engine process; a restart does not change the hardware, so it is kept. */
export class Calibration {
  readonly #fleet: FleetCalibration;
  readonly #prefill = new PrefillRate();
  readonly #step = new StepTime();

  constructor(fleet: FleetCalibration) {
    this.#fleet = fleet;
  }

  /** `prefillWork` of the prompt, as the matrix work of so many tokens. */
  firstToken(prefillWork: number, sentAtMs: number, nowMs: number, load: EndpointInFlight): void {
    this.#fleet.prompted(prefillWork);
    const factor = this.#step.factor ?? this.#fleet.stepFactor;
    const stepMs = factor * stepShapeMs(load);
    const prior = this.#fleet.prefillMsPerToken;
    this.#prefill.firstToken(prefillWork, sentAtMs, nowMs, stepMs, prior);
    this.#fleet.learnedPrefill(this.#prefill.msPerToken(prior));
  }

  ended({ firstTokenAtMs, endedAtMs, outputTokens }: Answer, load: EndpointInFlight): void {
    if (outputTokens > 8) {
      const msPerToken = (endedAtMs - firstTokenAtMs) / (outputTokens - 1);
      this.#step.answered(msPerToken, load, this.#fleet.stepFactor);
    }
    this.#fleet.answered(outputTokens, this.#step.factor);
  }

  prefillMsPerToken(): number {
    const ofFleet = this.#fleet.prefillMsPerToken;
    return unlessSame(this.#prefill.msPerToken(ofFleet), ofFleet);
  }

  /** Of a usual prompt of the pool, here. */
  meanPrefillMs(): number {
    return this.prefillMsPerToken() * this.#fleet.meanPromptWork;
  }

  /** Answers of the whole pool. */
  get meanOutputTokens(): number {
    return this.#fleet.meanOutputTokens;
  }

  stepMs(load: EndpointInFlight, kvCapacityTokens: number | undefined): number {
    const { stepFactor } = this.#fleet;
    return unlessSame(this.#step.factor ?? stepFactor, stepFactor) * stepShapeMs(load, kvCapacityTokens);
  }
}
