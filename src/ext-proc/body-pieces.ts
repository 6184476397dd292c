/** Below 64 KiB with room for the message around it; the size that other endpoint pickers use. */
export const maxPieceBytes = 62_000;

/** Cuts chunks into views of at most `maxPieceBytes`. The last one tells `isLast`; no bytes make one empty piece. */
export function* bodyPieces(
  chunks: readonly Uint8Array[],
): Generator<{ readonly piece: Uint8Array; readonly isLast: boolean }> {
  let held: Uint8Array | undefined;
  for (const chunk of chunks) {
    for (let offset = 0; offset < chunk.length; offset += maxPieceBytes) {
      if (held !== undefined) yield { piece: held, isLast: false };
      held = chunk.subarray(offset, offset + maxPieceBytes);
    }
  }
  yield { piece: held ?? new Uint8Array(0), isLast: true };
}
