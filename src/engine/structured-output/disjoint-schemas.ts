import { impliedTypes, saysMore } from './json-schema-keywords.ts';
import { satisfies, scalarKeywords } from './scalar-check.ts';

type Schema = Readonly<Record<string, unknown>>;

const maxDepth = 20;
/** Comparisons for one `oneOf`: many options with many constants each would take seconds. */
const maxComparisons = 1_000_000;
const allTypes = ['string', 'integer', 'number', 'boolean', 'null', 'object', 'array'];

/**
 * Two options of which a text might satisfy both, by their numbers; undefined if every text that is written for one
 * satisfies no other. Cautious: options that exclude each other in a way that is not looked for count as overlapping.
 * `resolve` follows a reference.
 */
export function overlappingOptions(
  options: readonly unknown[],
  resolve: (schema: unknown) => Schema | undefined,
): readonly [number, number] | undefined {
  let comparisons = 0;

  /** No text that is written for `a` is valid for `b`. */
  const excludes = (given: unknown, other: unknown, depth = 0): boolean => {
    const a = resolve(given);
    const b = resolve(other);
    if (a === undefined || b === undefined || depth > maxDepth) return false;
    if (++comparisons > maxComparisons) return false;
    const deeper = (x: unknown, y: unknown) => excludes(x, y, depth + 1);
    const choiceOfB = listOf(b['anyOf'] ?? b['oneOf']);
    if (choiceOfB?.every((option) => deeper(a, option))) return true;
    if (listOf(b['allOf'])?.some((part) => deeper(a, part))) return true;
    const { anyOf, oneOf, ...siblings } = a;
    const choiceOfA = listOf(anyOf ?? oneOf);
    if (choiceOfA !== undefined) return !saysMore(siblings) && choiceOfA.every((option) => deeper(option, b));
    // Its parts together may describe more members than each alone.
    if (a['allOf'] !== undefined) return false;
    const [ofA, ofB] = [constantsOf(a), constantsOf(b)];
    if (ofA !== undefined) return ofA.every((value) => refuses(b, value));
    if (ofB !== undefined) return ofB.every((value) => refuses(a, value));
    return commonTypes(a, b).every((type) => excludesAs(type, a, b, deeper));
  };

  /** Certainly not valid. */
  const refuses = (schema: Schema, value: unknown): boolean => {
    const constants = constantsOf(schema);
    comparisons += constants?.length ?? 1;
    if (comparisons > maxComparisons) return false;
    if (constants !== undefined) {
      const text = JSON.stringify(value);
      return constants.every((constant) => JSON.stringify(constant) !== text);
    }
    const known = Object.fromEntries(Object.entries(schema).filter(([key]) => scalarKeywords.has(key)));
    return !satisfies(known, value);
  };

  for (let i = 0; i < options.length; i++)
    for (let j = 0; j < i; j++)
      if (!excludes(options[i], options[j]) || !excludes(options[j], options[i])) return [j, i];
  return undefined;
}

/** Types that texts of `a` have and `b` allows; without a word of its own on types, `b` allows all. */
function commonTypes(a: Schema, b: Schema): readonly string[] {
  const written = a['type'] === undefined ? impliedTypes(a) : [a['type']].flat().map(String);
  const allowed = b['type'] === undefined ? allTypes : [b['type']].flat().map(String);
  const isAllowed = (type: string) =>
    allowed.includes(type) || (type === 'integer' && allowed.includes('number'));
  const common = (written.length === 0 ? allTypes : written).filter(isAllowed);
  // A number may be whole.
  return written.includes('number') && allowed.includes('integer') ? [...common, 'integer'] : common;
}

function excludesAs(
  type: string,
  a: Schema,
  b: Schema,
  excludes: (a: unknown, b: unknown) => boolean,
): boolean {
  switch (type) {
    case 'integer':
    case 'number':
      return isApart(rangeOf(a, numberBounds), rangeOf(b, numberBounds)) || isBeside(a, b);
    case 'string':
      return isApart(rangeOf(a, ['minLength', 'maxLength']), rangeOf(b, ['minLength', 'maxLength']));
    case 'array':
      return isApart(rangeOf(a, ['minItems', 'maxItems']), rangeOf(b, ['minItems', 'maxItems']));
    case 'object':
      return excludesAsObject(a, b, excludes);
    default:
      return false;
  }
}

/** A member that `a` always has is none of `b`'s, or `b` wants one that `a` never has. */
function excludesAsObject(a: Schema, b: Schema, excludes: (a: unknown, b: unknown) => boolean): boolean {
  const [ofA, ofB] = [recordOf(a['properties']), recordOf(b['properties'])];
  const has = (members: Schema, name: string) => Object.hasOwn(members, name);
  const [always, wanted] = [namesOf(a['required']), namesOf(b['required'])];
  if (always.some((name) => has(ofA, name) && has(ofB, name) && excludes(ofA[name], ofB[name]))) return true;
  const isClosed = (schema: Schema) => schema['patternProperties'] === undefined;
  // Texts have other members than those described only if `additionalProperties` says so.
  const additional = a['additionalProperties'];
  const writesOthers =
    !isClosed(a) || a['propertyNames'] !== undefined || (additional !== false && additional !== undefined);
  if (!writesOthers && Object.keys(ofA).length > 0 && wanted.some((name) => !has(ofA, name))) return true;
  return b['additionalProperties'] === false && isClosed(b) && always.some((name) => !has(ofB, name));
}

const numberBounds = ['minimum', 'maximum'] as const;

type Range = readonly [least: number, most: number];

function rangeOf(schema: Schema, [least, most]: readonly [string, string]): Range {
  const bound = (key: string, fallback: number) => (typeof schema[key] === 'number' ? schema[key] : fallback);
  return [bound(least, Number.NEGATIVE_INFINITY), bound(most, Number.POSITIVE_INFINITY)];
}

function isApart([leastA, mostA]: Range, [leastB, mostB]: Range): boolean {
  return mostA < leastB || mostB < leastA;
}

/** One begins where the other ends, and one of them leaves that number out. */
function isBeside(a: Schema, b: Schema): boolean {
  const below = (low: Schema, high: Schema) => {
    const [, most] = rangeOf(low, ['minimum', 'maximum']);
    const [, open] = rangeOf(low, ['minimum', 'exclusiveMaximum']);
    const [least] = rangeOf(high, ['minimum', 'maximum']);
    const [over] = rangeOf(high, ['exclusiveMinimum', 'maximum']);
    const end = Math.min(most, open);
    const start = Math.max(least, over);
    return end < start || (end === start && (open === end || over === start));
  };
  return below(a, b) || below(b, a);
}

function constantsOf(schema: Schema): readonly unknown[] | undefined {
  if ('const' in schema) return [schema['const']];
  return listOf(schema['enum']);
}

function listOf(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

function namesOf(value: unknown): readonly string[] {
  return (listOf(value) ?? []).map(String);
}

function recordOf(value: unknown): Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Schema) : {};
}
