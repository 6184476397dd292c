import { allCases } from './cases/index.ts';
import type { ConformanceCase } from './conformance-case.ts';
import { type Dialect, type DialectFamily, dialects } from './dialects.ts';
import { type Level, NotJudged, Unmet } from './outcome.ts';
import type { Session } from './session.ts';

/** A case in a dialect: one line of the table. */
export interface Row {
  readonly conformanceCase: ConformanceCase;
  readonly dialect: Dialect | 'any';
  readonly level: Level;
}

export type Result =
  | { readonly kind: 'passed'; readonly found: string }
  | { readonly kind: 'failed'; readonly expected: string; readonly found: string }
  | { readonly kind: 'skipped'; readonly reason: string };

export interface JudgedRow extends Row {
  readonly result: Result;
  readonly tookMs: number;
}

export interface Selection {
  /** Of id, title and dialect; undefined = all. */
  readonly only?: RegExp | undefined;
  /** Empty = all. */
  readonly families?: readonly DialectFamily[];
}

export function selectRows({ only, families = [] }: Selection = {}): readonly Row[] {
  return allCases
    .flatMap((conformanceCase): Row[] =>
      conformanceCase.dialects === 'any'
        ? [{ conformanceCase, dialect: 'any', level: conformanceCase.level }]
        : conformanceCase.dialects.map((dialect) => ({
            conformanceCase,
            dialect,
            level: levelIn(conformanceCase, dialect),
          })),
    )
    .filter(({ dialect }) => dialect === 'any' || families.length === 0 || families.includes(dialect.family))
    .filter((row) => only === undefined || only.test(`${row.conformanceCase.id} ${nameOf(row)}`));
}

export function nameOf({ conformanceCase, dialect }: Row): string {
  return dialect === 'any' ? conformanceCase.title : `${conformanceCase.title} [${dialect.name}]`;
}

/** The protocol asks for full duplex; what nobody sets up cannot fail a picker. */
function levelIn({ level }: ConformanceCase, dialect: Dialect): Level {
  return level === 'MUST' && dialect.isUncommon ? 'SHOULD' : level;
}

/** One row after the other: cases may disturb each other otherwise. */
export async function runRows(
  session: Session,
  rows: readonly Row[],
  onProgress: (done: number, total: number, row: Row) => void,
): Promise<readonly JudgedRow[]> {
  const judged: JudgedRow[] = [];
  for (const row of rows) {
    onProgress(judged.length, rows.length, row);
    const startedMs = performance.now();
    const result = await judge(session, row);
    judged.push({ ...row, result, tookMs: Math.round(performance.now() - startedMs) });
  }
  return judged;
}

async function judge(session: Session, { conformanceCase, dialect }: Row): Promise<Result> {
  try {
    const found = await conformanceCase.run(session, dialect === 'any' ? dialects.duplex : dialect);
    return { kind: 'passed', found };
  } catch (error) {
    if (error instanceof NotJudged) return { kind: 'skipped', reason: error.message };
    if (error instanceof Unmet) return { kind: 'failed', expected: error.expected, found: error.found };
    // A picker that breaks the connection, or answers with bytes that cannot be read.
    const found = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { kind: 'failed', expected: 'an exchange without an error', found };
  }
}

export function isFailedMust({ level, result }: JudgedRow): boolean {
  return level === 'MUST' && result.kind === 'failed';
}
