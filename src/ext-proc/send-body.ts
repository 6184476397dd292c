import type { Direction } from './messages.ts';
import type { Outbox } from './outbox.ts';

/** Below 64 KiB with room for the message around it; the size that other endpoint pickers use. */
export const maxPieceBytes = 62_000;

const noBytes = new Uint8Array(0);

/**
 * Sends bytes as `streamed_response` pieces of at most `maxPieceBytes`, without copies. The last one carries
 * `endOfStream`; no bytes make one empty piece.
 */
export function sendBody(
  outbox: Outbox,
  direction: Direction,
  chunks: readonly Uint8Array[],
  endOfStream: boolean,
): void {
  let held: Uint8Array = noBytes;
  let start = 0;
  for (const chunk of chunks) {
    for (let offset = 0; offset < chunk.length; offset += maxPieceBytes) {
      if (held !== noBytes) outbox.sendPiece(direction, held, start, pieceEnd(held, start), false);
      held = chunk;
      start = offset;
    }
  }
  outbox.sendPiece(direction, held, start, pieceEnd(held, start), endOfStream);
}

function pieceEnd(chunk: Uint8Array, start: number): number {
  return Math.min(chunk.length, start + maxPieceBytes);
}
