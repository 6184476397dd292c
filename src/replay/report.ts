import { type Comparison, compare, removedBy } from './comparison.ts';
import type { Replayed } from './replay.ts';

const nobody = 'none';

/** Counts what a replay finds, and words it for people. */
export class ReplayReport {
  #picks = 0;
  #different = 0;
  dropped = 0;
  readonly #moves = new Map<string, number>();
  readonly #before = new Map<string, number>();
  readonly #after = new Map<string, number>();

  get different(): number {
    return this.#different;
  }

  /** True if the pick differs. */
  add({ before = nobody, after = nobody }: Replayed): boolean {
    this.#picks++;
    count(this.#before, before);
    count(this.#after, after);
    if (before === after) return false;
    this.#different++;
    count(this.#moves, `${before} -> ${after}`);
    return true;
  }

  summary() {
    return {
      picks: this.#picks,
      different: this.#different,
      dropped: this.dropped,
      moves: byCount(this.#moves),
      picksBefore: byCount(this.#before),
      picksAfter: byCount(this.#after),
    };
  }

  text(): string {
    const { picks, different, dropped, moves, picksBefore, picksAfter } = this.summary();
    const share = picks === 0 ? 0 : (100 * different) / picks;
    const names = [...new Set([...Object.keys(picksBefore), ...Object.keys(picksAfter)])].sort();
    const lost = dropped === 0 ? '' : ` (${dropped} more were lost when they were recorded)`;
    return [
      `${different} of ${picks} picks differ: ${share.toFixed(1)} %${lost}`,
      ...Object.entries(moves).map(([move, times]) => `  ${String(times).padStart(6)}  ${move}`),
      'picks by endpoint, before and after',
      ...names.map(
        (name) => `  ${cell(picksBefore[name] ?? 0, 6)} ${cell(picksAfter[name] ?? 0, 6)}  ${name}`,
      ),
      '',
    ].join('\n');
  }
}

/** One pick that differs, with the scores of both profiles for both endpoints. */
export function differenceText(replayed: Replayed): string {
  const { recorded, before = nobody, after = nobody } = replayed;
  const { request, time } = recorded;
  const width = Math.max(10, before.length, after.length) + 2;
  const header = `  ${''.padEnd(labelWidth)}${before.padStart(width)}${after.padStart(width)}`;
  return [
    `${time}  ${request.id}  ${request.promptTokens} prompt tokens: ${before} -> ${after}`,
    ...[before, after].flatMap((name) => {
      const filter = removedBy(replayed.replayed, name);
      return filter === undefined ? [] : [`  ${name} is now removed by filter ${filter}`];
    }),
    ...compare(replayed).flatMap((each) => [
      header.replace(/^ {2}\s{11}/, `  ${each.title.padEnd(11)}`),
      ...table(each, width),
    ]),
    '',
  ].join('\n');
}

/** The same as data, for `--json`. */
export function differenceJson(replayed: Replayed): object {
  const { recorded, before, after } = replayed;
  const [asRecorded, now] = compare(replayed);
  return {
    time: recorded.time,
    requestId: recorded.request.id,
    before: before ?? null,
    after: after ?? null,
    recorded: asRecorded!.rows,
    replayed: now!.rows,
  };
}

const labelWidth = 38;

function table({ rows }: Comparison, width: number): string[] {
  return rows.map(({ label, unit, before, after }) => {
    const name = unit === '' ? label : `${label}, ${unit}`;
    return `  ${name.padEnd(labelWidth)}${cell(before, width)}${cell(after, width)}`;
  });
}

function cell(value: number | undefined, width: number): string {
  const text = value === undefined ? '-' : Number.isInteger(value) ? String(value) : value.toFixed(3);
  return text.padStart(width);
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function byCount(counts: ReadonlyMap<string, number>): Readonly<Record<string, number>> {
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}
