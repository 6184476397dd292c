import { definePicker } from '../plugins.ts';

/** What a proxy without knowledge of engines does; the rest follow in the same order as fallbacks. */
export default definePicker({
  description: 'Takes the candidates in turn.',
  create: () => {
    let turn = 0;
    return (_context, scored) => {
      const first = turn++ % scored.length;
      return [...scored.slice(first), ...scored.slice(0, first)];
    };
  },
});
