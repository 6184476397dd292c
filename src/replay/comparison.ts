import type { SchedulingResult, ScoreStep } from '../scheduling/scheduling-result.ts';
import type { Replayed } from './replay.ts';

/** What one profile says of the two endpoints: the one that was chosen, and the one that would be. */
export interface Comparison {
  readonly title: string;
  readonly rows: readonly ComparisonRow[];
}

export interface ComparisonRow {
  readonly label: string;
  /** Undefined where the endpoint was no candidate. */
  readonly before: number | undefined;
  readonly after: number | undefined;
  readonly unit: string;
}

type Judged = Pick<SchedulingResult, 'scores' | 'totals' | 'filters'> & {
  readonly candidates: readonly string[];
};

/** Both profiles' scores for both endpoints, side by side. */
export function compare({ recorded, replayed, before, after }: Replayed): readonly Comparison[] {
  const now: Judged = { ...replayed, candidates: replayed.candidates.map(({ name }) => name) };
  return [
    { title: 'as recorded', rows: rowsOf(recorded.result, before, after) },
    { title: 'replayed', rows: rowsOf(now, before, after) },
  ];
}

/** The filter that left the endpoint out, if one did. */
export function removedBy({ filters }: Pick<SchedulingResult, 'filters'>, name: string): string | undefined {
  return filters.find(({ removed }) => removed.includes(name))?.filter;
}

function rowsOf(
  judged: Judged,
  before: string | undefined,
  after: string | undefined,
): readonly ComparisonRow[] {
  const at = (name: string | undefined) => (name === undefined ? -1 : judged.candidates.indexOf(name));
  const [first, second] = [at(before), at(after)];
  const row = (label: string, unit: string, values: readonly number[], factor = 1): ComparisonRow => ({
    label,
    unit,
    before: scaled(values[first], factor),
    after: scaled(values[second], factor),
  });
  const ofScorer = ({ scorer, weight, scores, terms = [] }: ScoreStep) => [
    ...terms.map(({ name, unit, values }) => row(`${scorer}: ${name}`, unit, values)),
    row(`${weight} x ${scorer}`, '', scores, weight),
  ];
  return [...judged.scores.flatMap(ofScorer), row('total', '', judged.totals)];
}

function scaled(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}
