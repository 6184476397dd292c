import type { SchedulingResult } from '../scheduling/scheduling-result.ts';

/**
 * Why the choice was made, as one word of a small set: `only_one`, `tie`, the scorer that gave the choice its
 * largest lead over the best other candidate, or `picker` when the picker overruled the sums.
 */
export function decidingReason(record: SchedulingResult): string {
  if (record.brief !== undefined) return record.brief.reason;
  const { candidates, totals, scores, ranking, tied } = record;
  if (candidates.length <= 1) return 'only_one';
  const chosen = candidates.findIndex(({ name }) => name === ranking[0]?.name);
  let rival = -1;
  for (let at = 0; at < totals.length; at++)
    if (at !== chosen && (rival < 0 || totals[at]! > totals[rival]!)) rival = at;
  if (chosen < 0 || rival < 0 || totals[chosen]! < totals[rival]!) return 'picker';
  if (tied > 1) return 'tie';
  let reason = 'tie';
  let largest = 0;
  for (const { scorer, weight, scores: own } of scores) {
    const lead = weight * (own[chosen]! - own[rival]!);
    if (lead > largest) {
      largest = lead;
      reason = scorer;
    }
  }
  return reason;
}
