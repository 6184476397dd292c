import type { Sequence } from './sequence.ts';

/** What one sequence gets out of a step: taken down before the launch, read when the results are there. */
export interface FlightEntry {
  readonly sequence: Sequence;
  /** Its first sample; those that tell prompt tokens come first. */
  readonly sample: number;
  readonly promptRows: number;
  /** Tokens of a draft before the sampled one; undefined: no token is sampled. */
  readonly drafted: number | undefined;
  /** Its first pooled state, and how many are its own. */
  readonly state: number;
  readonly states: number;
  /** Its computed tokens after the step, drafts aside. */
  readonly computed: number;
}

/** A step that is launched and not yet waited for. */
export interface StepFlight {
  readonly entries: readonly FlightEntry[];
  /** Tokens computed. */
  readonly tokens: number;
  readonly topStride: number;
  /** States in the results. */
  readonly pooled: number;
  /** What its tokens are must be known before the next step can be planned. */
  readonly isBlocking: boolean;
}

/**
 * What the scheduled sequences get out of the step that `BatchBuilder.build` makes of them: samples and states are in
 * the order of the sequences.
 */
export function entriesOf(sequences: readonly Sequence[]): FlightEntry[] {
  let sample = 0;
  let state = 0;
  return sequences.map((sequence) => {
    const { promptRows } = sequence;
    const end = sequence.computed + sequence.scheduled;
    const isSampled = end >= sequence.length && sequence.pooled === undefined;
    const drafted = isSampled ? end - sequence.length : undefined;
    const states = sequence.pooled?.positions(sequence).count ?? 0;
    const entry = { sequence, sample, promptRows, drafted, state, states, computed: end - (drafted ?? 0) };
    sample += promptRows + (drafted === undefined ? 0 : drafted + 1);
    state += states;
    return entry;
  });
}
