import { defineFilter, steady } from '../plugins.ts';

/** One requirement of a label selector, as Kubernetes reads it. All must hold. */
type Requirement = (labels: Readonly<Record<string, string>>) => boolean;

export default defineFilter({
  description: 'Keeps endpoints whose labels match every entry: key=value, key in (a, b), key, !key.',
  defaults: { matchLabels: [] as readonly string[] },
  create: ({ matchLabels }) => {
    if (matchLabels.length === 0) {
      throw new Error('matchLabels is empty; list at least one of key=value, key, !key');
    }
    const requirements = matchLabels.map(parseRequirement);
    return steady((_context, endpoints) =>
      endpoints.filter(({ labels }) => requirements.every((holds) => holds(labels))),
    );
  },
});

const setForm = /^\s*([^\s=!(),]+)\s+(in|notin)\s*\(([^()]*)\)\s*$/;

/** `key=value`, `key!=value`, `key in (a, b)`, `key notin (a, b)`, `key` (any value), `!key` (does not have it). */
function parseRequirement(text: string): Requirement {
  const set = setForm.exec(text);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    return within(
      key,
      list.split(',').map((value) => value.trim()),
      operator === 'notin',
    );
  }
  const [, bang = '', left = '', operator = '', right = ''] = /^(!?)([^=!]*)(!=|==?)?(.*)$/s.exec(text) ?? [];
  const key = left.trim();
  if (key === '' || (bang !== '' && operator !== '') || (operator === '' && right !== '')) {
    throw new Error(`matchLabels has "${text}"; expected key=value, key, or !key`);
  }
  if (operator !== '') return within(key, [right.trim()], operator === '!=');
  return (labels) => Object.hasOwn(labels, key) === (bang === '');
}

/** An endpoint without the label is in no set, so `notin` and `!=` keep it. */
function within(key: string, values: readonly string[], isForbidden: boolean): Requirement {
  return (labels) => (Object.hasOwn(labels, key) && values.includes(labels[key]!)) !== isForbidden;
}
