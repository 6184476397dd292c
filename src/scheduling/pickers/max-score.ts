import { bestFirst } from '../best-first.ts';
import { definePicker, type ScoredEndpoint } from '../plugins.ts';
import { shuffle } from '../shuffle.ts';

/** Best total first. Equal totals are ordered at random, or every tie would load the same endpoint. */
export default definePicker({
  description: 'Takes the endpoint with the highest total; ties at random.',
  create: () => (context, scored) => bestFirst(shuffle(scored, context.random), totalOf),
});

function totalOf({ total }: ScoredEndpoint): number {
  return total;
}
