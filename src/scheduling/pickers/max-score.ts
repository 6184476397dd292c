import { definePicker } from '../plugins.ts';
import { shuffle } from '../shuffle.ts';

/** Best total first. Equal totals are ordered at random, or every tie would load the same endpoint. */
export default definePicker({
  description: 'Takes the endpoint with the highest total; ties at random.',
  create: () => (context, scored) => shuffle(scored, context.random).sort((a, b) => b.total - a.total),
});
