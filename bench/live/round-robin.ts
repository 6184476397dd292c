import { definePicker } from 'pointsman/scheduling';

/** What a proxy without knowledge of engines does. */
export default definePicker({
  description: 'One after the other.',
  create: () => {
    let turn = 0;
    return (_context, scored) => {
      const first = turn++ % scored.length;
      return [...scored.slice(first), ...scored.slice(0, first)];
    };
  },
});
