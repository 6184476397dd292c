import { overlappingOptions } from './disjoint-schemas.ts';
import type { Expression } from './expression.ts';
import {
  choice,
  maxOptions,
  quotedPart,
  repeat,
  rule,
  StructuredOutputError,
  sequence,
  text,
} from './expression.ts';
import { jsonFormats } from './json-formats.ts';
import {
  brackets,
  characterInString,
  colon,
  comma,
  emptyBrackets,
  jsonArray,
  jsonCharacter,
  jsonObject,
  jsonString,
  jsonValue,
  quoted,
  separated,
} from './json-grammar.ts';
import { textExcept } from './json-keys.ts';
import { literal } from './json-literal.ts';
import { memberList } from './json-members.ts';
import { numberExpression } from './json-numbers.ts';
import { followPointer } from './json-pointer.ts';
import { impliedTypes, isAnnotation, saysMore, understood } from './json-schema-keywords.ts';
import { mergeSchemas } from './merge-schemas.ts';
import { parseRegularExpression } from './regular-expression.ts';
import { satisfies, scalarKeywords } from './scalar-check.ts';

type Schema = Readonly<Record<string, unknown>>;

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
    if (typeof pointer !== 'string' || !/^#(\/|$)/.test(pointer))
      throw refuse(
        where,
        `refers to ${quotedPart(pointer)}; only references that begin with #/ can be followed`,
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
    const found = followPointer(root, pointer);
    if (found.value === undefined) throw refuse(where, `refers to ${quotedPart(pointer)}, ${found.fault}`);
    return found.value;
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
      if (!understood.has(key) && !isAnnotation(key, value) && value !== undefined)
        throw refuse(where, `has ${quotedPart(key)}, which this engine cannot hold to`);
    if (given['$ref'] !== undefined) {
      const { $ref: pointer, ...siblings } = given;
      if (!saysMore(siblings)) return reference(pointer, where);
      return convert(mergeSchemas([resolveSchema(pointer, where), siblings], refusal(where)), where);
    }
    if ('const' in given) return constants([given['const']], given, where);
    if (given['enum'] !== undefined) return constants(list(given, 'enum', where), given, where);
    if (given['allOf'] !== undefined) return convert(joined(given, where), where);
    for (const key of ['anyOf', 'oneOf'] as const)
      if (given[key] !== undefined) return alternatives(given, key, where);
    return typed(given, where);
  };

  /** Constants that keep what stands beside them. */
  const constants = (values: readonly unknown[], schema: Schema, where: string): Expression => {
    const { const: _, enum: __, ...siblings } = schema;
    const other = Object.keys(siblings).find(
      (key) => !scalarKeywords.has(key) && !isAnnotation(key, siblings[key]) && key !== 'format',
    );
    if (other !== undefined) throw refuse(where, `has ${quotedPart(other)} beside constants`);
    const kept = values.filter((value) => satisfies(siblings, value));
    if (kept.length === 0) throw refuse(where, 'has constants, none of which it allows');
    return choice(...kept.map(literal));
  };

  /** Each option together with what stands beside all of them. */
  const alternatives = (schema: Schema, key: 'anyOf' | 'oneOf', where: string): Expression => {
    const { [key]: _, ...siblings } = schema;
    const place = (i: number) => `${where}/${key}/${i}`;
    const options = list(schema, key, where).map((each, i) =>
      saysMore(siblings) ? mergeSchemas([siblings, own(each, place(i))], refusal(place(i))) : each,
    );
    const expressions = options.map((each, i) => convert(each, place(i)));
    if (key === 'oneOf') refuseOverlap(options, where);
    return choice(...expressions);
  };

  const refuseOverlap = (options: readonly unknown[], where: string): void => {
    const both = overlappingOptions(options, (option) => own(option, where));
    if (both !== undefined)
      throw refuse(
        where,
        `has "oneOf" whose options ${both.join(' and ')} (from 0) may hold for one text; tell them apart by a required constant, or say "anyOf"`,
      );
  };

  /** A part of a schema that is joined with others: references are followed. */
  const own = (part: unknown, where: string, followed = 0): Schema => {
    const given = part === true ? {} : record(part, where);
    if (given['$ref'] === undefined) return given;
    if (followed > maxNesting) throw refuse(where, 'refers to itself in a circle');
    const { $ref: pointer, ...siblings } = given;
    return mergeSchemas([resolveSchema(pointer, where, followed + 1), siblings], refusal(where));
  };

  const resolveSchema = (pointer: unknown, where: string, followed = 0): Schema =>
    own(resolve(String(pointer), where), String(pointer), followed);

  const joined = (schema: Schema, where: string): Schema => {
    const { allOf: _, ...siblings } = schema;
    const parts = list(schema, 'allOf', where).map((part, i) => own(part, `${where}/allOf/${i}`));
    return mergeSchemas([...parts, siblings], refusal(where));
  };

  const refusal = (where: string) => (what: string) => refuse(where, what);

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
      case 'number':
        return number(type, schema, where);
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
    const pattern = schema['pattern'] ?? jsonFormats[String(schema['format'])];
    const min = count(schema, 'minLength', where) ?? 0;
    const max = count(schema, 'maxLength', where);
    if (max !== undefined && min > max) throw refuse(where, 'allows no text: minLength is above maxLength');
    if (pattern !== undefined) {
      if (typeof pattern !== 'string') throw refuse(where, 'has a pattern that is not a string');
      if (min > 0 || max !== undefined)
        throw refuse(where, 'has a pattern and a length; say it in the pattern');
      return quoted(parseRegularExpression(pattern, { character: characterInString, isSearch: true }));
    }
    return min === 0 && max === undefined ? jsonString : quoted(repeat(jsonCharacter, min, max));
  };

  const number = (type: 'integer' | 'number', schema: Schema, where: string): Expression => {
    const bound = (key: string): number | undefined => {
      const value = schema[key];
      if (value === undefined) return undefined;
      if (typeof value !== 'number' || !Number.isFinite(value))
        throw refuse(where, `must have a number in "${key}"`);
      return value;
    };
    const expression = numberExpression(type, bound, rules);
    if (typeof expression === 'string') throw refuse(where, expression);
    return expression;
  };

  const object = (schema: Schema, where: string): Expression => {
    const properties = Object.entries((schema['properties'] as Schema | undefined) ?? {});
    const required = new Set(list(schema, 'required', where, []));
    const described = new Set<unknown>(properties.map(([name]) => name));
    for (const name of required)
      if (!described.has(name))
        throw refuse(where, `requires ${quotedPart(name)}, which "properties" does not describe`);
    const others = otherMembers(schema, Object.keys(Object.fromEntries(properties)), where);
    if (properties.length === 0 && others === 'any') return jsonObject;
    const members = properties.map(([name, value]) => ({
      expression: sequence(literal(name), colon, convert(value, `${where}/properties/${name}`)),
      isRequired: required.has(name),
    }));
    const repeated = others === 'any' || others.length === 0 ? undefined : separated(choice(...others));
    return memberList(members, repeated, `${where} ${rules.size}`, rules);
  };

  /** Members beside `properties`: none, by the schema's word, or any of an object that says nothing of its own. */
  const otherMembers = (schema: Schema, names: readonly string[], where: string): Expression[] | 'any' => {
    const additional = schema['additionalProperties'];
    const patterns = Object.entries((schema['patternProperties'] as Schema | undefined) ?? {});
    const ofNames = schema['propertyNames'];
    if (patterns.length > 0) {
      if (additional !== undefined && additional !== false)
        throw refuse(
          where,
          'has patternProperties beside additionalProperties, which this engine cannot hold to',
        );
      if (patterns.length > 1)
        throw refuse(
          where,
          'has several patternProperties, which this engine cannot tell apart; join their patterns',
        );
      const [pattern, value] = patterns[0]!;
      const clash = names.find((name) => new RegExp(pattern, 'u').test(name));
      if (clash !== undefined)
        throw refuse(where, `has the property ${quotedPart(clash)}, which patternProperties describe too`);
      const key = quoted(parseRegularExpression(pattern, { character: characterInString, isSearch: true }));
      return [sequence(key, colon, convert(value, `${where}/patternProperties/${pattern}`))];
    }
    const isSilent = additional === undefined && ofNames === undefined;
    if (names.length === 0 && (isSilent || (additional === true && ofNames === undefined))) return 'any';
    if (additional === false || (additional === undefined && names.length > 0)) return [];
    if (ofNames !== undefined && names.length > 0)
      throw refuse(where, 'has propertyNames beside properties, which this engine cannot hold to');
    const key =
      ofNames !== undefined
        ? convert(
            mergeSchemas([{ type: 'string' }, own(ofNames, where)], refusal(where)),
            `${where}/propertyNames`,
          )
        : names.length === 0
          ? jsonString
          : quoted(textExcept(names, rules));
    return [sequence(key, colon, convert(additional ?? true, `${where}/additionalProperties`))];
  };

  const array = (schema: Schema, where: string): Expression => {
    const prefix = list(schema, 'prefixItems', where, []).map((each, i) =>
      convert(each, `${where}/prefixItems/${i}`),
    );
    const min = count(schema, 'minItems', where) ?? 0;
    const max = count(schema, 'maxItems', where);
    const { items } = schema;
    if (max !== undefined && min > max) throw refuse(where, 'allows no list: minItems is above maxItems');
    if (prefix.length > 0) return tuple(prefix, { items, min, max }, where);
    if (items === undefined && min === 0 && max === undefined) return jsonArray;
    const item = convert(items ?? true, `${where}/items`);
    if (max === 0) return emptyBrackets;
    const rest = repeat(sequence(comma, item), Math.max(0, min - 1), max === undefined ? undefined : max - 1);
    const some = brackets(sequence(item, rest));
    return min === 0 ? choice(emptyBrackets, some) : some;
  };

  /** All of `prefixItems`, as far as `maxItems` allows, and then others if the schema has a word for them. */
  const tuple = (
    prefix: readonly Expression[],
    { items, min, max }: { items: unknown; min: number; max: number | undefined },
    where: string,
  ): Expression => {
    const held = prefix.slice(0, max);
    if (held.length === 0) return emptyBrackets;
    const isClosed = items === undefined || items === false;
    if (isClosed && min > held.length) throw refuse(where, 'wants more items than it describes');
    const first = held.flatMap((each, i) => (i === 0 ? [each] : [comma, each]));
    if (isClosed || held.length < prefix.length) return brackets(sequence(...first));
    const item = sequence(comma, convert(items, `${where}/items`));
    const most = max === undefined ? undefined : max - held.length;
    return brackets(sequence(...first, repeat(item, Math.max(0, min - held.length), most)));
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
