import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { boundedLines } from './bounded-lines.ts';
import type { Log } from './log.ts';

export interface DecisionLog {
  readonly write: (line: string) => void;
  close(): Promise<void>;
}

/** Appends lines to a file. Rejects if it cannot be opened; a disk that fails later is logged and ends the writing. */
export async function openDecisionLog(path: string, log: Log): Promise<DecisionLog> {
  const stream = createWriteStream(path, { flags: 'a' });
  try {
    await once(stream, 'open');
  } catch (error) {
    throw new Error(`the decision log cannot be written: ${(error as Error).message}`);
  }
  stream.on('error', (error) => {
    log.error({ file: path, reason: error.message }, 'the decision log cannot be written any more');
  });
  return {
    write: boundedLines(stream),
    close: async () => {
      if (stream.destroyed) return;
      const closed = once(stream, 'close');
      stream.end();
      await closed;
    },
  };
}
