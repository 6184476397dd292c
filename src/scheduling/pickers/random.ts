import { definePicker } from '../plugins.ts';
import { shuffle } from '../shuffle.ts';

/** Ignores the totals: the baseline against which scorers are measured. */
export default definePicker({
  description: 'Takes any of the candidates with equal chance.',
  create: () => (context, scored) => shuffle(scored, context.random),
});
