import type { Direction } from './messages.ts';
import type { Outbox } from './outbox.ts';

/** Below 64 KiB with room for the message around it; the size that other endpoint pickers use. */
export const maxPieceBytes = 62_000;

const noBytes = new Uint8Array(0);

/**
 * Sends bytes as `streamed_response` pieces of at most `maxPieceBytes`, views and no copies. The last one carries
 * `endOfStream`; no bytes make one empty piece.
 */
export function sendBody(
  outbox: Outbox,
  direction: Direction,
  chunks: readonly Uint8Array[],
  endOfStream: boolean,
): void {
  let held: Uint8Array | undefined;
  for (const chunk of chunks) {
    for (let offset = 0; offset < chunk.length; offset += maxPieceBytes) {
      if (held !== undefined) sendPiece(outbox, direction, held, false);
      held = chunk.length <= maxPieceBytes ? chunk : chunk.subarray(offset, offset + maxPieceBytes);
    }
  }
  sendPiece(outbox, direction, held ?? noBytes, endOfStream);
}

/** One piece, which must not be longer than `maxPieceBytes`. */
export function sendPiece(
  outbox: Outbox,
  direction: Direction,
  body: Uint8Array,
  endOfStream: boolean,
): void {
  outbox.send({ kind: 'body', direction, streamed: { body, endOfStream } });
}
