import type { Expression } from './expression.ts';
import {
  choice,
  maxOptions,
  optional,
  quotedPart,
  repeat,
  rule,
  StructuredOutputError,
  sequence,
  text,
} from './expression.ts';
import {
  braces,
  brackets,
  characterInString,
  colon,
  comma,
  emptyBraces,
  emptyBrackets,
  jsonArray,
  jsonCharacter,
  jsonInteger,
  jsonNumber,
  jsonObject,
  jsonString,
  jsonValue,
  quoted,
  separated,
} from './json-grammar.ts';
import { parseRegularExpression } from './regular-expression.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Keywords that are held to, and those that say nothing about the text. Any other one is refused. */
const understood = new Set([
  ...['type', 'enum', 'const', '$ref', 'anyOf', 'oneOf', 'allOf', '$defs', 'definitions'],
  ...['properties', 'required', 'additionalProperties', 'items', 'prefixItems', 'minItems', 'maxItems'],
  ...['minLength', 'maxLength', 'pattern', 'format'],
]);
const annotations = new Set([
  ...['title', 'description', 'default', 'examples', '$schema', '$id', 'id', '$comment', '$anchor'],
  ...['deprecated', 'readOnly', 'writeOnly', 'discriminator', 'strict'],
]);
/** Formats that texts can be held to; others are annotations, as the specification has it. */
const date = '\\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\\d|3[01])';
const time = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)';
const formats: Readonly<Record<string, string>> = {
  date: `^${date}$`,
  time: `^${time}$`,
  'date-time': `^${date}T${time}$`,
  uuid: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
};
const maxLength = 16_384;
/** Schemas in schemas, on the way to the innermost. */
const maxNesting = 200;

/**
 * What a JSON text must look like to satisfy a schema. Properties come in the schema's order; an object with
 * `properties` has others only if `additionalProperties` says so, as structured output wants it.
 */
export function jsonSchemaExpression(root: unknown): {
  readonly expression: Expression;
  readonly rules: ReadonlyMap<string, Expression>;
} {
  const rules = new Map<string, Expression>();
  let nesting = 0;

  const refuse = (where: string, what: string) =>
    new StructuredOutputError(`The JSON schema cannot be used: ${where.slice(-200) || '#'} ${what}.`);

  const reference = (pointer: unknown, where: string): Expression => {
    if (typeof pointer !== 'string' || !pointer.startsWith('#'))
      throw refuse(
        where,
        `refers to ${quotedPart(pointer)}; only references that begin with # can be followed`,
      );
    const name = `schema:${pointer}`;
    if (!rules.has(name)) {
      // There before its body is read: schemas may refer to themselves.
      rules.set(name, jsonValue);
      rules.set(name, convert(resolve(pointer, where), pointer));
    }
    return rule(name);
  };

  const resolve = (pointer: string, where: string): unknown => {
    let at: unknown = root;
    for (const part of pointer.slice(1).split('/').slice(1)) {
      const key = decoded(part, where).replaceAll('~1', '/').replaceAll('~0', '~');
      at = typeof at === 'object' && at !== null ? (at as Schema)[key] : undefined;
    }
    if (at === undefined) throw refuse(where, `refers to ${quotedPart(pointer)}, which does not exist`);
    return at;
  };

  const decoded = (part: string, where: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw refuse(where, `refers to ${quotedPart(part)}, whose percent signs encode nothing`);
    }
  };

  const convert = (schema: unknown, where: string): Expression => {
    if (++nesting > maxNesting)
      throw refuse(where, `nests deeper than ${maxNesting} levels, or refers to itself in allOf`);
    const expression = convertOne(schema, where);
    nesting--;
    return expression;
  };

  const convertOne = (schema: unknown, where: string): Expression => {
    if (schema === true) return jsonValue;
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema))
      throw refuse(where, schema === false ? 'allows nothing' : 'must be an object or true');
    const given = schema as Schema;
    for (const [key, value] of Object.entries(given))
      if (!understood.has(key) && !annotations.has(key) && value !== undefined)
        throw refuse(where, `has ${quotedPart(key)}, which this engine cannot hold to`);
    if (given['$ref'] !== undefined) return reference(given['$ref'], where);
    if ('const' in given) return literal(given['const']);
    if (given['enum'] !== undefined) return choice(...list(given, 'enum', where).map(literal));
    for (const key of ['anyOf', 'oneOf'] as const)
      if (given[key] !== undefined)
        return choice(...list(given, key, where).map((each, i) => convert(each, `${where}/${key}/${i}`)));
    if (given['allOf'] !== undefined) return convert(merged(given, where), where);
    return typed(given, where);
  };

  /** `allOf` of objects: their properties together. Other keywords must not meet twice. */
  const merged = (schema: Schema, where: string): Schema => {
    const { allOf: _, ...own } = schema;
    const parts = [...list(schema, 'allOf', where), own].map((part, i) => {
      const given = record(part, `${where}/allOf/${i}`);
      return given['$ref'] === undefined ? given : record(resolve(String(given['$ref']), where), where);
    });
    const whole: Record<string, unknown> = {};
    for (const part of parts)
      for (const [key, value] of Object.entries(part))
        if (key === 'properties') whole[key] = { ...(whole[key] as object), ...record(value, where) };
        else if (key === 'required')
          whole[key] = [...((whole[key] as unknown[]) ?? []), ...list(part, 'required', where, [])];
        else if (whole[key] === undefined || annotations.has(key) || whole[key] === value) whole[key] = value;
        else throw refuse(where, `has ${quotedPart(key)} several times in allOf`);
    return whole;
  };

  const typed = (schema: Schema, where: string): Expression => {
    const types = schema['type'] === undefined ? impliedTypes(schema) : [schema['type']].flat();
    if (types.length === 0) return jsonValue;
    return choice(...types.map((type) => ofType(type, schema, where)));
  };

  const ofType = (type: unknown, schema: Schema, where: string): Expression => {
    switch (type) {
      case 'string':
        return string(schema, where);
      case 'integer':
        return jsonInteger;
      case 'number':
        return jsonNumber;
      case 'boolean':
        return choice(text('true'), text('false'));
      case 'null':
        return text('null');
      case 'object':
        return object(schema, where);
      case 'array':
        return array(schema, where);
      default:
        throw refuse(where, `has the unknown type ${quotedPart(type)}`);
    }
  };

  const string = (schema: Schema, where: string): Expression => {
    const pattern = schema['pattern'] ?? formats[String(schema['format'])];
    const min = count(schema, 'minLength', where) ?? 0;
    const max = count(schema, 'maxLength', where);
    if (pattern !== undefined) {
      if (typeof pattern !== 'string') throw refuse(where, 'has a pattern that is not a string');
      if (min > 0 || max !== undefined)
        throw refuse(where, 'has a pattern and a length; say it in the pattern');
      return quoted(parseRegularExpression(pattern, { character: characterInString, isSearch: true }));
    }
    return min === 0 && max === undefined ? jsonString : quoted(repeat(jsonCharacter, min, max));
  };

  const object = (schema: Schema, where: string): Expression => {
    const properties = Object.entries((schema['properties'] as Schema | undefined) ?? {});
    const additional = schema['additionalProperties'];
    if (properties.length === 0 && (additional === undefined || additional === true)) {
      if (list(schema, 'required', where, []).length > 0)
        throw refuse(where, 'requires properties that "properties" does not describe');
      return jsonObject;
    }
    const required = new Set(list(schema, 'required', where, []));
    const known = new Set<unknown>(properties.map(([name]) => name));
    for (const name of required)
      if (!known.has(name))
        throw refuse(where, `requires ${quotedPart(name)}, which "properties" does not describe`);
    const members = properties.map(([name, value]) => ({
      expression: sequence(literal(name), colon, convert(value, `${where}/properties/${name}`)),
      isRequired: required.has(name),
    }));
    const isOpen = additional !== undefined && additional !== false;
    const others = isOpen
      ? separated(sequence(jsonString, colon, convert(additional, `${where}/additionalProperties`)))
      : undefined;
    return memberList(members, others, `${where} ${rules.size}`);
  };

  /**
   * Members in order, optional ones left out at will. Two rules per member, for what may follow once there is
   * something before it, and before there is: an expression per subset would double with each member.
   */
  const memberList = (
    members: readonly { readonly expression: Expression; readonly isRequired: boolean }[],
    others: Expression | undefined,
    name: string,
  ): Expression => {
    const at = (i: number, isFirst: boolean) => rule(`members:${name}:${i}:${isFirst}`);
    const end = members.length;
    rules.set(`members:${name}:${end}:true`, others === undefined ? text('') : optional(others));
    rules.set(
      `members:${name}:${end}:false`,
      others === undefined ? text('') : optional(sequence(comma, others)),
    );
    members.forEach(({ expression, isRequired }, i) => {
      for (const isFirst of [true, false]) {
        const present = sequence(...(isFirst ? [] : [comma]), expression, at(i + 1, false));
        rules.set(
          `members:${name}:${i}:${isFirst}`,
          isRequired ? present : choice(present, at(i + 1, isFirst)),
        );
      }
    });
    return members.some(({ isRequired }) => isRequired)
      ? braces(at(0, true))
      : choice(emptyBraces, braces(at(0, true)));
  };

  const array = (schema: Schema, where: string): Expression => {
    const prefix = list(schema, 'prefixItems', where, []).map((each, i) =>
      convert(each, `${where}/prefixItems/${i}`),
    );
    const min = count(schema, 'minItems', where) ?? 0;
    const max = count(schema, 'maxItems', where);
    const { items } = schema;
    if (prefix.length > 0) {
      if (items !== undefined && items !== false)
        throw refuse(where, 'has items beside prefixItems, which this engine cannot hold to');
      return brackets(sequence(...prefix.flatMap((each, i) => (i === 0 ? [each] : [comma, each]))));
    }
    if (items === undefined && min === 0 && max === undefined) return jsonArray;
    const item = convert(items ?? true, `${where}/items`);
    if (max === 0) return emptyBrackets;
    const rest = repeat(sequence(comma, item), Math.max(0, min - 1), max === undefined ? undefined : max - 1);
    const some = brackets(sequence(item, rest));
    return min === 0 ? choice(emptyBrackets, some) : some;
  };

  const list = (schema: Schema, key: string, where: string, fallback?: unknown[]): readonly unknown[] => {
    const value = schema[key] ?? fallback;
    if (!Array.isArray(value) || (value.length === 0 && fallback === undefined) || value.length > maxOptions)
      throw refuse(where, `must have a list in "${key}", of at most ${maxOptions} entries`);
    return value;
  };

  const record = (value: unknown, where: string): Schema => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Schema;
    throw refuse(where, 'must be an object to be part of allOf');
  };

  const count = (schema: Schema, key: string, where: string): number | undefined => {
    const value = schema[key];
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > maxLength)
      throw refuse(where, `must have a whole number up to ${maxLength} in "${key}"`);
    return value as number;
  };

  return { expression: convert(root, ''), rules };
}

/** A schema without a type still means one by its keywords. */
function impliedTypes(schema: Schema): readonly string[] {
  if (schema['properties'] !== undefined || schema['additionalProperties'] !== undefined) return ['object'];
  if (schema['items'] !== undefined || schema['prefixItems'] !== undefined) return ['array'];
  if (['pattern', 'minLength', 'maxLength', 'format'].some((key) => schema[key] !== undefined))
    return ['string'];
  return [];
}

/** Exactly this value, with the blanks that people put into JSON. */
function literal(value: unknown): Expression {
  if (typeof value !== 'object' || value === null) return text(JSON.stringify(value));
  const isList = Array.isArray(value);
  const entries = isList
    ? value.map(literal)
    : Object.entries(value).map(([key, each]) => sequence(literal(key), colon, literal(each)));
  if (entries.length > maxOptions)
    throw new StructuredOutputError(
      `A constant may have up to ${maxOptions} entries; one has ${entries.length}.`,
    );
  if (entries.length === 0) return isList ? emptyBrackets : emptyBraces;
  const inner = sequence(...entries.flatMap((entry, i) => (i === 0 ? [entry] : [comma, entry])));
  return isList ? brackets(inner) : braces(inner);
}
