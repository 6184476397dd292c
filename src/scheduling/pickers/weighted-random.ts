import { bestFirst } from '../best-first.ts';
import { definePicker } from '../plugins.ts';
import { shuffle } from '../shuffle.ts';

/**
 * Weighted sampling without replacement (Efraimidis and Spirakis, A-Res): order by U^(1/total), U uniform.
 * Written as log(U) / total, the same order, because the power underflows for small totals. Candidates with
 * total 0 come last, at random; so all zero is plain random.
 */
export default definePicker({
  description: 'Takes a candidate with a chance proportional to its total.',
  create: () => (context, scored) => {
    const keyed = shuffle(scored, context.random).map((entry) => ({
      entry,
      key: entry.total > 0 ? Math.log(1 - context.random()) / entry.total : Number.NEGATIVE_INFINITY,
    }));
    return bestFirst(keyed, ({ key }) => key).map(({ entry }) => entry);
  },
});
