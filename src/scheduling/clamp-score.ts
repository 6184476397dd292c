/** NaN and non-numbers become 0, so that one bad figure can never win a request. */
export function clampScore(score: unknown): number {
  if (typeof score !== 'number' || !(score > 0)) return 0;
  return score > 1 ? 1 : score;
}
