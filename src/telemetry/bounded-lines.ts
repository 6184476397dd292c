import type { Writable } from 'node:stream';
import { droppedLine } from './line-feed.ts';

/** Not more than this is held for a reader or a disk that is slow. */
const mostHeldBytes = 8 * 1024 * 1024;

/** Writes lines to a stream that may be slow: what does not fit is left out, and a line says how many that were. */
export function boundedLines(stream: Writable): (line: string) => void {
  let dropped = 0;
  return (line) => {
    if (stream.destroyed || stream.writableEnded) return;
    if (stream.writableLength > mostHeldBytes) {
      dropped++;
      return;
    }
    if (dropped > 0) stream.write(`${droppedLine(dropped)}\n`);
    dropped = 0;
    stream.write(`${line}\n`);
  };
}
