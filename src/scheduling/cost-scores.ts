/** Costs as scores in the same order: 1 for the cheapest, one half for what costs twice as much. */
export function scoresOfCosts(costs: readonly number[]): readonly number[] {
  let least = Number.POSITIVE_INFINITY;
  for (const cost of costs) if (cost < least) least = cost;
  return costs.map((cost) => (cost <= least ? 1 : least / cost));
}
