import type { JudgedRow, Row } from './run-suite.ts';
import { nameOf } from './run-suite.ts';
import type { KnownPool } from './session.ts';

const longestCell = 160;

/** Rows of cells, padded to columns. */
export function resultTable(rows: readonly JudgedRow[]): string {
  const cells = rows.map((row) => {
    const { conformanceCase, level, result } = row;
    const expected = result.kind === 'failed' ? result.expected : '';
    const found = result.kind === 'skipped' ? result.reason : result.found;
    return [conformanceCase.clause, conformanceCase.id, dialectOf(row), level, result.kind, expected, found];
  });
  return table(['clause', 'case', 'dialect', 'level', 'result', 'expected', 'found'], cells);
}

export function caseTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => {
    const { clause, id, title } = row.conformanceCase;
    return [clause, id, dialectOf(row), row.level, title];
  });
  return table(['clause', 'case', 'dialect', 'level', 'what is judged'], cells);
}

/** What failed, in whole sentences. */
export function failureLines(rows: readonly JudgedRow[]): readonly string[] {
  return rows.flatMap((row) => {
    const { result, level } = row;
    if (result.kind !== 'failed') return [];
    return [`${level} ${nameOf(row)}`, `     expected ${result.expected}`, `     found    ${result.found}`];
  });
}

export function summaryLine(rows: readonly JudgedRow[]): string {
  const count = (kind: string) => rows.filter(({ result }) => result.kind === kind).length;
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
}

export function failedByLevel(rows: readonly JudgedRow[]): Readonly<Record<string, number>> {
  const failed = rows.filter(({ result }) => result.kind === 'failed');
  const count = (level: string) => failed.filter((row) => row.level === level).length;
  return { MUST: count('MUST'), SHOULD: count('SHOULD'), INFO: count('INFO') };
}

export function jsonReport(address: string, pool: KnownPool, rows: readonly JudgedRow[]): string {
  const count = (kind: string) => rows.filter(({ result }) => result.kind === kind).length;
  const report = {
    address,
    endpointsSeen: pool.seen,
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    failedByLevel: failedByLevel(rows),
    cases: rows.map((row) => ({
      clause: row.conformanceCase.clause,
      id: row.conformanceCase.id,
      title: row.conformanceCase.title,
      dialect: dialectOf(row),
      level: row.level,
      tookMs: row.tookMs,
      ...resultFields(row),
    })),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

function resultFields({ result: { kind, ...fields } }: JudgedRow): object {
  return { result: kind, ...fields };
}

function dialectOf({ dialect }: Row): string {
  return dialect === 'any' ? 'any' : dialect.name;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((row) => row.map(oneLine));
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Texts of a picker may hold anything, also what steers a terminal. */
function oneLine(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e\u00a1-\uffff]+/g, ' ');
  return printable.length > longestCell ? `${printable.slice(0, longestCell - 1)}…` : printable;
}
