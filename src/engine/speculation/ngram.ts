import type { SpeculativeConfig } from './speculative-config.ts';

/**
 * Drafts by looking the text's own ending up in the text (prompt lookup decoding): what followed the same tokens
 * before may follow again. The longest ending counts, of equals the latest place. Writes the draft to
 * `tokens[length…]` and returns how many tokens it has, at most `room`; `tokens` must have that room.
 */
export function draftByNgram(
  tokens: Int32Array,
  length: number,
  { maxNgram, minNgram }: SpeculativeConfig,
  room: number,
): number {
  if (room <= 0) return 0;
  let bestEnd = 0;
  let bestLength = minNgram - 1;
  // An earlier place ends before the last token, so that at least one token follows it.
  for (let end = length - 1; end >= minNgram && bestLength < maxNgram; end--) {
    const limit = Math.min(maxNgram, end);
    let matched = 0;
    while (matched < limit && tokens[end - 1 - matched] === tokens[length - 1 - matched]) matched++;
    if (matched <= bestLength) continue;
    bestLength = matched;
    bestEnd = end;
  }
  if (bestEnd === 0) return 0;
  const count = Math.min(room, length - bestEnd);
  tokens.copyWithin(length, bestEnd, bestEnd + count);
  return count;
}
