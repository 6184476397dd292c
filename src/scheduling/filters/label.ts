import { defineFilter } from '../plugins.ts';

/** One requirement: `key=value`, `key` (has it, any value), `!key` (does not have it). All must hold. */
interface Requirement {
  readonly key: string;
  readonly value: string | undefined;
  readonly isForbidden: boolean;
}

export default defineFilter({
  description: 'Keeps endpoints whose labels match every entry: key=value, key, or !key.',
  defaults: { matchLabels: [] as readonly string[] },
  create: ({ matchLabels }) => {
    if (matchLabels.length === 0) {
      throw new Error('matchLabels is empty; list at least one of key=value, key, !key');
    }
    const requirements = matchLabels.map(parseRequirement);
    return (_context, endpoints) =>
      endpoints.filter(({ labels }) => requirements.every((requirement) => holds(requirement, labels)));
  },
});

function parseRequirement(text: string): Requirement {
  const equals = text.indexOf('=');
  const isForbidden = text.startsWith('!');
  const key = text.slice(isForbidden ? 1 : 0, equals < 0 ? text.length : equals).trim();
  if (key === '' || (isForbidden && equals >= 0)) {
    throw new Error(`matchLabels has "${text}"; expected key=value, key, or !key`);
  }
  return { key, value: equals < 0 ? undefined : text.slice(equals + 1).trim(), isForbidden };
}

function holds({ key, value, isForbidden }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const has = Object.hasOwn(labels, key);
  if (isForbidden) return !has;
  return has && (value === undefined || labels[key] === value);
}
