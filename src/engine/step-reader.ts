import type { DraftCounter } from './draft-counter.ts';
import type { Scheduler } from './scheduler.ts';
import type { Sequence } from './sequence.ts';
import type { FlightEntry, StepFlight } from './step-flight.ts';
import type { FirstToken, PooledOutput, StepOutput } from './step-output.ts';
import type { ReusedResults } from './step-results.ts';
import { readLogprobs } from './step-results.ts';
import type { Finish, StopLimits } from './stop-condition.ts';
import { finishOf } from './stop-condition.ts';

export interface StepReaderOptions {
  readonly scheduler: Scheduler;
  /** Of the step that is read. */
  readonly results: ReusedResults;
  readonly limits: StopLimits;
  readonly hiddenSize: number;
  readonly drafts: DraftCounter;
}

/** Takes what a step has found into its sequences, and tells it. */
export class StepReader {
  readonly #scheduler: Scheduler;
  readonly #results: ReusedResults;
  readonly #limits: StopLimits;
  readonly #hiddenSize: number;
  readonly #drafts: DraftCounter;
  #pooled: PooledOutput[] = [];

  constructor({ scheduler, results, limits, hiddenSize, drafts }: StepReaderOptions) {
    this.#scheduler = scheduler;
    this.#results = results;
    this.#limits = limits;
    this.#hiddenSize = hiddenSize;
    this.#drafts = drafts;
  }

  /** Appends the new tokens, ends what is over. Sequences that have ended since the launch get nothing. */
  apply({ entries, topStride }: StepFlight, outputs: StepOutput[]): void {
    const ended: Sequence[] = [];
    for (const entry of entries) {
      const { sequence } = entry;
      if (sequence.status === 'finished') continue;
      this.#readPrompt(entry, topStride);
      const isOver =
        sequence.pooled === undefined ? this.#accept(entry, topStride, outputs) : this.#pool(entry);
      if (isOver) ended.push(sequence);
    }
    this.#scheduler.finish(ended);
  }

  /** Requests for states that have ended since the last call. */
  drainPooled(): readonly PooledOutput[] {
    const pooled = this.#pooled;
    this.#pooled = [];
    return pooled;
  }

  /** Keeps the log-probabilities of prompt tokens that the step tells. */
  #readPrompt({ sequence, sample, promptRows }: FlightEntry, topStride: number): void {
    const count = sequence.sampling.promptLogprobs;
    for (let i = 0; i < promptRows; i++)
      sequence.promptLogprobs!.push(readLogprobs(this.#results, topStride, sample + i, count)!);
  }

  /** Takes the states of the step; true if the sequence has what it is for. */
  #pool({ sequence, state, states, computed }: FlightEntry): boolean {
    const size = this.#hiddenSize;
    const pooled = sequence.pooled!;
    pooled.add(this.#results.pooledStates.subarray(state * size, (state + states) * size), states);
    this.#scheduler.confirm(sequence, computed);
    if (computed < sequence.length) return false;
    this.#pooled.push({ requestId: sequence.requestId, first: firstOf(sequence), state: pooled.state });
    return true;
  }

  /**
   * Appends what the model says after the sequence's last token, and goes on along the draft as long as the
   * model says what the draft has. True if the sequence is over.
   */
  #accept({ sequence, ...entry }: FlightEntry, topStride: number, outputs: StepOutput[]): boolean {
    const { drafted } = entry;
    if (drafted === undefined) {
      this.#scheduler.confirm(sequence, entry.computed);
      return false;
    }
    let accepted = 0;
    let finish: Finish | undefined;
    for (let isDraft = true; isDraft && finish === undefined; ) {
      const row = entry.sample + entry.promptRows + accepted;
      const tokenId = this.#results.sampledIds[row]!;
      isDraft = accepted < drafted && sequence.tokens[sequence.length] === tokenId;
      sequence.append(tokenId);
      finish = finishOf(sequence, this.#limits);
      outputs.push({
        requestId: sequence.requestId,
        choice: sequence.choice,
        tokenId,
        logprobs: readLogprobs(this.#results, topStride, row, sequence.sampling.logprobs),
        first: sequence.knownLength > sequence.promptLength + 1 ? undefined : firstOf(sequence),
        finish,
      });
      if (isDraft) accepted++;
    }
    if (drafted > 0) this.#drafts.count(drafted, accepted);
    if (accepted > 0) this.#scheduler.advance(sequence, accepted);
    this.#scheduler.confirm(sequence, entry.computed + accepted);
    return finish !== undefined;
  }
}

function firstOf({ cachedTokens, firstScheduledMs, promptLogprobs }: Sequence): FirstToken {
  return { cachedTokens, scheduledMs: firstScheduledMs!, promptLogprobs };
}
