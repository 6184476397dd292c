import { FirstBursts } from './first-bursts.ts';
import type { RequestLoad } from './in-flight-load.ts';
import { type PrefillBurst, PrefillRate } from './prefill-rate.ts';
import { type StepLoad, StepTime, stepMsOf } from './step-time.ts';

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
  readonly #firstBursts = new FirstBursts();
  #prefillMs = this.#firstBursts.msPerToken;
  #stepFactor = 1;
  #outputTokens = unlearnedOutputTokens;
  #answers = 0;
  #promptWork = unlearnedPromptWork;
  #prompts = 0;
  #sentTokens = 0;
  #sentUncached = 0;
  #uncachedShare = 1;
  #attentionShare = 0;

  get prefillMsPerToken(): number {
    return this.#prefillMs;
  }

  get stepFactor(): number {
    return this.#stepFactor;
  }

  get meanOutputTokens(): number {
    return this.#outputTokens;
  }

  /** Some engine has shown how long its prefill takes. */
  get isPrefillKnown(): boolean {
    return this.#firstBursts.count > 0;
  }

  prefilled(burst: PrefillBurst): void {
    if (this.#firstBursts.isFull) return;
    this.#firstBursts.add(burst);
    this.#prefillMs = this.#firstBursts.msPerToken;
  }

  /** An endpoint's own figures: the fleet's follow them slowly once it has seen some bursts. */
  learnedPrefill(msPerToken: number): void {
    if (this.#firstBursts.isFull) this.#prefillMs += 0.02 * (msPerToken - this.#prefillMs);
  }

  /** Of prompt tokens, the share that was not believed cached. */
  get uncachedShare(): number {
    return this.#uncachedShare;
  }

  /** Work that attention adds to a token, for each token before it: as whoever sends requests counts it. */
  get attentionShare(): number {
    return this.#attentionShare;
  }

  sent(promptTokens: number, uncachedTokens: number, prefillWork: number): void {
    if (promptTokens <= 0 || uncachedTokens <= 0) return;
    this.#sentTokens = promptMemory * this.#sentTokens + promptTokens;
    this.#sentUncached = promptMemory * this.#sentUncached + uncachedTokens;
    this.#uncachedShare = Math.min(1, this.#sentUncached / this.#sentTokens);
    const meanBefore = promptTokens - uncachedTokens / 2;
    this.#attentionShare = Math.max(0, prefillWork - uncachedTokens) / (uncachedTokens * meanBefore);
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
  firstToken(prefillWork: number, sentAtMs: number, nowMs: number, load: StepLoad): void {
    this.#fleet.prompted(prefillWork);
    const factor = this.#step.factor ?? this.#fleet.stepFactor;
    const stepMs = stepMsOf(factor, load);
    this.settle(nowMs);
    this.#prefill.firstToken(prefillWork, sentAtMs, nowMs, stepMs);
    this.#fleet.learnedPrefill(this.#prefill.msPerToken(this.#fleet.prefillMsPerToken));
  }

  /** Learns from the first tokens that came before now. */
  settle(nowMs: number): void {
    const burst = this.#prefill.closeBurst(nowMs);
    if (burst === undefined) return;
    this.#fleet.prefilled(burst);
    this.#prefill.add(burst, this.#fleet.prefillMsPerToken);
  }

  /** False before the first observation of any engine of the pool: the rate is a guess. */
  get isPrefillKnown(): boolean {
    return this.#fleet.isPrefillKnown;
  }

  ended({ firstTokenAtMs, endedAtMs, outputTokens }: Answer, load: StepLoad): void {
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

  sent({ promptTokens, uncachedTokens, prefillWork = uncachedTokens }: RequestLoad): void {
    this.#fleet.sent(promptTokens, uncachedTokens, prefillWork);
  }

  /**
   * Prefill here of a prompt of so many tokens that somebody else has sent, of which the pool's usual share is
   * cached.
   */
  othersPrefillMs(promptTokens: number): number {
    const { uncachedShare, attentionShare } = this.#fleet;
    const uncached = uncachedShare * promptTokens;
    return this.prefillMsPerToken() * uncached * (1 + attentionShare * (promptTokens - uncached / 2));
  }

  /** Answers of the whole pool. */
  get meanOutputTokens(): number {
    return this.#fleet.meanOutputTokens;
  }

  stepMs(load: StepLoad, kvCapacityTokens: number | undefined): number {
    const { stepFactor } = this.#fleet;
    return stepMsOf(unlessSame(this.#step.factor ?? stepFactor, stepFactor), load, kvCapacityTokens);
  }
}
