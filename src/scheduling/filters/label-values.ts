import { defineFilter, steady } from '../plugins.ts';

/** llm-d's `by-label`, and its role filters over `llm-d.ai/role`. */
export default defineFilter({
  description: 'Keeps endpoints whose label has one of the values.',
  defaults: { label: '', values: [] as readonly string[], allowsMissing: false },
  create: ({ label, values, allowsMissing }) => {
    if (label === '') throw new Error('label is empty; expected the name of a label');
    if (values.length === 0 && !allowsMissing)
      throw new Error('values is empty; list at least one, or set allowsMissing');
    const wanted = new Set(values);
    return steady((_context, endpoints) =>
      endpoints.filter(({ labels }) =>
        Object.hasOwn(labels, label) ? wanted.has(labels[label]!) : allowsMissing,
      ),
    );
  },
});
