import type { Sequence } from './sequence.ts';

/** One step. The arrays are reused: valid until the next call of `schedule`. */
export interface Schedule {
  /** Each computes its `scheduled` next tokens. */
  readonly sequences: readonly Sequence[];
  readonly tokens: number;
}

export interface StepLimits {
  /** Tokens that one step computes, at most. */
  readonly maxNumBatchedTokens: number;
  /** Tokens that one sequence computes in one step, at most; 0 = no limit of its own. */
  readonly longPrefillTokenThreshold: number;
}

/** The next step while it is filled: who computes how many tokens, within the limits of a step. */
export class StepPlan implements Schedule {
  readonly sequences: Sequence[] = [];
  tokens = 0;
  readonly #limits: StepLimits;

  constructor(limits: StepLimits) {
    this.#limits = limits;
  }

  clear(): void {
    this.sequences.length = 0;
    this.tokens = 0;
  }

  /** Tokens that may still be added. */
  get left(): number {
    return this.#limits.maxNumBatchedTokens - this.tokens;
  }

  /** The most that one sequence may still add. */
  get chunk(): number {
    const { longPrefillTokenThreshold } = this.#limits;
    return longPrefillTokenThreshold > 0 ? Math.min(this.left, longPrefillTokenThreshold) : this.left;
  }

  /** Tokens of the sequence that this step would compute. */
  tokensFor(sequence: Sequence): number {
    return Math.min(sequence.length - sequence.computed, this.chunk);
  }

  add(sequence: Sequence, tokens: number): void {
    sequence.scheduled = tokens;
    this.sequences.push(sequence);
    this.tokens += tokens;
  }

  /** Takes a sequence out, if it is there. */
  remove(sequence: Sequence): void {
    if (sequence.scheduled === 0) return;
    this.sequences.splice(this.sequences.indexOf(sequence), 1);
    this.tokens -= sequence.scheduled;
    sequence.scheduled = 0;
  }
}
