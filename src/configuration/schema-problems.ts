import type { z } from 'zod';
import { knownKeys } from './json-schema.ts';
import { didYouMean } from './nearest-name.ts';
import type { Path } from './problems.ts';

/** A schema issue in our words, before it is given a place. */
export interface SchemaProblem {
  readonly path: Path;
  /** Set when the key itself is the problem. */
  readonly unknownKey: string | undefined;
  readonly message: string;
}

type Issue = z.core.$ZodIssue;

/** `keysAt` gives the keys that there may be at a path, for the message about an unknown one. */
export function schemaProblems(
  issues: readonly Issue[],
  keysAt: (path: Path) => readonly string[] = knownKeys,
): SchemaProblem[] {
  return issues.flatMap(ofMeantBranch).flatMap((issue): SchemaProblem[] => {
    const path = issue.path.map((key) => (typeof key === 'number' ? key : String(key)));
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({
        path,
        unknownKey: key,
        message: unknownKeyMessage(key, keysAt(path)),
      }));
    return [{ path, unknownKey: undefined, message: messageOf(issue) }];
  });
}

/** Of a value that may be one of several things: the mistakes of the one that it was meant to be, if that is clear. */
function ofMeantBranch(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const isOfOtherType = ({ path, code }: Issue) => path.length === 0 && code === 'invalid_type';
  const meant = issue.errors.filter((branch) => !branch.some(isOfOtherType));
  if (meant.length !== 1) return [issue];
  return meant[0]!.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

function unknownKeyMessage(key: string, known: readonly string[]): string {
  const list = known.length === 0 ? 'There are none.' : `Known keys: ${known.join(', ')}.`;
  return `unknown key "${key}".${didYouMean(key, known)} ${list}`;
}

function messageOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? `missing; expected ${article(issue.expected)}`
        : `expected ${article(issue.expected)}, found ${found(issue.input)}`;
    case 'invalid_value':
      return `expected one of ${issue.values.map(String).join(', ')}, found ${found(issue.input)}.${didYouMean(
        String(issue.input),
        issue.values.map(String),
      )}`;
    case 'invalid_union': {
      const types = issue.errors
        .flat()
        .flatMap((inner) => (inner.code === 'invalid_type' ? [inner.expected] : []));
      return `expected ${types.map(article).join(' or ')}, found ${found(issue.input)}`;
    }
    case 'too_small':
      if (issue.origin === 'string' || issue.origin === 'array') return 'must not be empty';
      return `expected a number ${issue.inclusive ? 'of at least' : 'above'} ${issue.minimum}, found ${found(issue.input)}`;
    case 'too_big':
      return `expected a number of at most ${issue.maximum}, found ${found(issue.input)}`;
    case 'invalid_format':
      return `${issue.message}, found ${found(issue.input)}`;
    case 'invalid_key':
      return `${issue.issues[0]?.message ?? issue.message}, found ${found(issue.path.at(-1))}`;
    default:
      return issue.message;
  }
}

const names: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'a string',
  boolean: 'true or false',
  object: 'a map of keys',
  record: 'a map of keys',
  array: 'a list',
};

function article(type: string): string {
  return names[type] ?? type;
}

/** What was written, short: `string "x"`, `number 5`, `a list`. */
export function found(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'object') return 'a map of keys';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return `${typeof value} ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}
