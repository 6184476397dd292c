import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseDecision, type RecordedDecision } from './record-schema.ts';

/** What is wrong with a file of records, and where. */
export class RecordsError extends Error {}

export type ReadLine =
  | { readonly kind: 'decision'; readonly decision: RecordedDecision }
  /** So many were lost here, as nobody took them in time. */
  | { readonly kind: 'dropped'; readonly count: number };

/** The records of a file of JSON Lines, one after the other. Throws a `RecordsError` with the number of the line. */
export async function* readRecords(path: string): AsyncGenerator<ReadLine> {
  const input = createReadStream(path, 'utf8');
  let number = 0;
  try {
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      if (text.trim() !== '') yield readLine(text);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new RecordsError(`${path}: there is no such file`);
    throw new RecordsError(code === undefined ? `${path}:${number}: ${message}` : `${path}: ${message}`);
  } finally {
    input.destroy();
  }
}

function readLine(text: string): ReadLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`expected a decision record in JSON, found ${(error as Error).message}`);
  }
  const { dropped } = (value ?? {}) as { readonly dropped?: unknown };
  if (typeof dropped === 'number') return { kind: 'dropped', count: dropped };
  return { kind: 'decision', decision: parseDecision(value) };
}
