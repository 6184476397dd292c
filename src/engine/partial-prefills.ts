/** How many prompts may be computed in parts at the same time. */
export interface PartialPrefillLimits {
  readonly most: number;
  /** Of those, how many may be long. */
  readonly mostLong: number;
  /** Longer than this is long. */
  readonly longTokens: number;
}

interface Progress {
  readonly length: number;
  readonly computed: number;
  readonly scheduled: number;
}

/**
 * Whether a prompt of `length` tokens that will not be done in this step has to wait for others that are under way.
 * As vLLM's `--max-num-partial-prefills` and `--max-long-partial-prefills`: short prompts go before long ones.
 */
export function exceedsPartialPrefills(
  { most, mostLong, longTokens }: PartialPrefillLimits,
  running: Iterable<Progress>,
  length: number,
): boolean {
  let underWay = 0;
  let long = 0;
  for (const sequence of running) {
    if (sequence.computed + sequence.scheduled >= sequence.length) continue;
    underWay++;
    if (sequence.length > longTokens) long++;
  }
  return underWay >= most || (length > longTokens && long >= mostLong);
}

/** vLLM's threshold when several prompts may be under way and none is given: 4 % of the context. */
export function defaultLongPrefillTokens(maxModelLen: number): number {
  return Math.max(1, Math.floor(0.04 * maxModelLen));
}
