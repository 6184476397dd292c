import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Automaton, dead } from '../../../src/engine/structured-output/automaton.ts';
import type { Constraint } from '../../../src/engine/structured-output/index.ts';
import { compileConstraint, StructuredOutputError } from '../../../src/engine/structured-output/index.ts';

/** What the automaton says of a whole text. */
function matcher(constraint: Constraint): (text: string) => boolean {
  const automaton = new Automaton(compileConstraint(constraint));
  return (text) => {
    let state = automaton.start;
    for (const byte of Buffer.from(text, 'utf8')) {
      state = automaton.step(state, byte);
      if (state === dead) return false;
    }
    return automaton.isAccepting(state);
  };
}
const regex = (pattern: string) => matcher({ kind: 'regex', pattern });
const schema = (value: unknown) => matcher({ kind: 'json_schema', schema: value });

describe('regular expressions', () => {
  const patterns = [
    'a|bc',
    '(ab)*c?',
    '[a-c]{2,3}',
    '[^a]b',
    '\\d+\\.\\d{2}',
    '(?:a|b)+?c',
    '.é.',
    '[à-ü€😀]+',
    '\\w\\s\\W',
    '(a(b|c)*)+',
    'x{3}',
    '\\u0041\\x42\\n',
    '^ab$|^c$',
    'a{0,2}b{1,}',
    '[\\d\\-]+',
  ];
  const alphabet = fc.constantFrom(...'abcABx01.9-é€😀ü \n');

  test.each(patterns)('%s means what it means in JavaScript', (pattern) => {
    const ours = regex(pattern);
    const theirs = new RegExp(`^(?:${pattern})$`, 'u');
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 7 }), (letters) => {
        const text = letters.join('');
        expect(ours(text)).toBe(theirs.test(text));
      }),
      { numRuns: 400 },
    );
    fc.assert(
      fc.property(fc.stringMatching(new RegExp(`^(?:${pattern})$`)), (text) => {
        if (Buffer.from(text).toString() === text) expect(ours(text)).toBe(theirs.test(text));
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['(?=a)', /look-ahead/],
    ['(a)\\1', /\\1 is not supported/],
    ['a(', /./],
    ['(a', /not closed/],
    ['[a', /not closed/],
    ['a)', /has no \(/],
    ['*a', /no meaning/],
    ['[b-a]', /range/],
    ['a{9999}', /repetitions/],
    ['(?:a{4000}){4000}', /too large/],
    ['\\', /backslash/],
  ])('%s is refused with a reason', (pattern, reason) => {
    expect(() => compileConstraint({ kind: 'regex', pattern })).toThrow(reason);
  });
});

describe('JSON', () => {
  test('any object is accepted, as JSON.stringify writes it, plain or indented', () => {
    const accepts = matcher({ kind: 'json_object' });
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 })), (value) => {
        expect(accepts(JSON.stringify(value))).toBe(true);
        expect(accepts(JSON.stringify(value, null, 2))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test.each([
    '',
    '[]',
    '{"a"}',
    '{"a":01}',
    '{"a":1,}',
    '{,}',
    '{"a":"\n"}',
    '{"a":"\\x"}',
    '{} ',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":tru}',
  ])('%j is not an object', (text) => {
    expect(matcher({ kind: 'json_object' })(text)).toBe(false);
  });

  test('strings hold only valid UTF-8', () => {
    const automaton = new Automaton(compileConstraint({ kind: 'json_schema', schema: { type: 'string' } }));
    const run = (...bytes: number[]) =>
      bytes.reduce((at, byte) => (at === dead ? dead : automaton.step(at, byte)), automaton.start);
    expect(run(0x22, 0xc3, 0xa9, 0x22)).not.toBe(dead);
    for (const bad of [[0x80], [0xc0], [0xed, 0xa0], [0xf4, 0x90], [0xc3, 0x22]])
      expect(run(0x22, ...bad)).toBe(dead);
  });
});

describe('JSON schemas', () => {
  const person = {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 3 },
      age: { type: 'integer' },
      tags: { type: 'array', items: { enum: ['a', 'b'] }, minItems: 1, maxItems: 2 },
      mail: { anyOf: [{ type: 'null' }, { type: 'string', pattern: '^\\w+@\\w+$' }] },
    },
    required: ['name', 'mail'],
    additionalProperties: false,
  };

  test.each([
    ['{"name": "Ada", "age": -3, "tags": ["a", "b"], "mail": "a@b"}', true],
    ['{"name":"é😀\\n","mail":null}', true],
    ['{"name": "A", "tags": ["b"], "mail": null}', true],
    ['{"mail": null, "name": "A"}', false],
    ['{"name": "A"}', false],
    ['{"name": "", "mail": null}', false],
    ['{"name": "Adam", "mail": null}', false],
    ['{"name": "A", "age": 1.5, "mail": null}', false],
    ['{"name": "A", "tags": [], "mail": null}', false],
    ['{"name": "A", "mail": "a@"}', false],
    ['{"name": "A", "mail": null, "more": 1}', false],
  ])('%s satisfies a schema of properties: %s', (text, isFit) => {
    expect(schema(person)(text)).toBe(isFit);
  });

  test.each([
    [
      {
        $ref: '#/$defs/n',
        $defs: {
          n: {
            type: 'object',
            properties: { next: { anyOf: [{ $ref: '#/$defs/n' }, { type: 'null' }] } },
            required: ['next'],
          },
        },
      },
      ['{"next":{"next":null}}'],
      ['{"next":{}}'],
    ],
    [{ type: 'array', items: { $ref: '#' } }, ['[[],[[]]]'], ['[1]']],
    [
      {
        allOf: [
          { properties: { a: { type: 'number' } }, required: ['a'] },
          { properties: { b: { const: [1, { x: null }] } } },
        ],
      },
      ['{"a":1e5}', '{"a":-0.25,"b":[1,{"x":null}]}'],
      ['{"b":[1,{"x":null}]}'],
    ],
    [
      {
        allOf: [
          { properties: { a: { type: 'integer' }, b: { const: 1 } }, additionalProperties: false },
          { properties: { b: {}, c: { type: 'boolean' } }, additionalProperties: { type: 'integer' } },
        ],
      },
      ['{}', '{"a":1,"b":1}'],
      ['{"c":true}', '{"a":1,"c":true}', '{"b":2}'],
    ],
    [
      {
        properties: { a: { const: 1 } },
        additionalProperties: { maximum: 9 },
        anyOf: [{ properties: { b: { type: 'integer' } } }, { properties: { c: { const: 'x' } } }],
      },
      ['{"a":1,"b":-3}', '{"b":9}', '{"c":"x"}', '{"d":9}'],
      ['{"b":10}', '{"b":"x"}'],
    ],
    [{ type: ['boolean', 'null'] }, ['true', 'null'], ['0']],
    [
      { type: 'object', additionalProperties: { type: 'integer' } },
      ['{}', '{"x": 1, "y": 2}'],
      ['{"x": "1"}'],
    ],
    [
      { properties: { a: { type: 'integer' } }, additionalProperties: true },
      ['{}', '{"a":1}', '{"a":1,"z":[]}', '{"z":[]}'],
      ['{"a":1,}'],
    ],
    [
      { type: 'string', format: 'date-time' },
      ['"2026-02-28T23:59:59.5Z"'],
      ['"2026-13-01T00:00:00Z"', '"2026-01-01"'],
    ],
    [{ prefixItems: [{ type: 'integer' }, { type: 'string' }] }, ['[1, "a"]'], ['[1]', '["a", 1]']],
    [{ pattern: 'a"b' }, ['"xa\\"by"'], ['"a"b"', '"ab"']],
    [true, ['{"a":[1,"x",null]}', '7'], ['x']],
    [{ enum: ['a', 1, null] }, ['"a"', '1', 'null'], ['"b"']],
  ])('%j', (value, fit, unfit) => {
    const accepts = schema(value);
    expect(fit.filter((text) => !accepts(text))).toEqual([]);
    expect(unfit.filter((text) => accepts(text))).toEqual([]);
  });

  test.each([
    [{ type: 'array', contains: {} }, /# has "contains"/],
    [{ properties: { a: { not: {} } } }, /\/properties\/a has "not"/],
    [{ type: 'text' }, /unknown type "text"/],
    [{ $ref: '#/$defs/x' }, /does not exist/],
    [{ $ref: 'other.json' }, /begin with #/],
    [{ type: 'object', properties: { a: {} }, required: ['b'] }, /requires "b"/],
    [{ enum: [] }, /must have a list in "enum"/],
    [{ $ref: '#/%' }, /percent signs encode nothing/],
    [
      { allOf: [{ additionalProperties: false }, { properties: { b: {} }, required: ['b'] }] },
      /requires "b", which/,
    ],
    [{ allOf: [null] }, /\/allOf\/0 must be an object/],
    [{ allOf: [{ required: 5 }] }, /must have a list in "required"/],
    [{ allOf: [{ $ref: '#' }] }, /refers to itself in allOf/],
    [{ anyOf: [{ $ref: '#' }, { $ref: '#' }] }, /refers to itself in too many ways/],
    [false, /allows nothing/],
    [7, /must be an object/],
  ])('%j is refused with a reason', (value, reason) => {
    expect(() => compileConstraint({ kind: 'json_schema', schema: value })).toThrow(reason);
  });

  test('nesting has an end, and a schema that only refers to itself allows nothing', () => {
    const lists = schema({ type: 'array', items: { $ref: '#' } });
    expect(lists('['.repeat(60) + ']'.repeat(60))).toBe(true);
    expect(lists('['.repeat(1000) + ']'.repeat(1000))).toBe(false);
    expect(() => schema({ $ref: '#' })).toThrow(/allows no text/);
  });
});

describe('what would take too much is refused before it is tried', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => `o${i}`);
  const cases: readonly (readonly [string, Constraint, RegExp])[] = [
    ['a long pattern', { kind: 'regex', pattern: 'x'.repeat(300_000) }, /more than 16384 characters/],
    [
      'groups in groups',
      { kind: 'regex', pattern: `${'('.repeat(8000)}a${')'.repeat(8000)}` },
      /deeper than 100 levels/,
    ],
    [
      'quantifiers of quantifiers',
      { kind: 'regex', pattern: `a${'{1}'.repeat(5000)}` },
      /quantifiers follow/,
    ],
    ['nothing, often', { kind: 'regex', pattern: '((((){4096}){4096}){4096}){4096}' }, /too large/],
    ['something, often', { kind: 'regex', pattern: '((a{1,4096}){1,4096}){1,4096}' }, /too large/],
    ['many options', { kind: 'choice', options: many(200_000) }, /1 to 10000 options/],
    ['a long enum', { kind: 'json_schema', schema: { enum: many(200_000) } }, /at most 10000 entries/],
    ['a long constant', { kind: 'json_schema', schema: { const: many(200_000) } }, /up to 10000 entries/],
    [
      'long lists of long lists',
      {
        kind: 'json_schema',
        schema: { type: 'array', maxItems: 9999, items: { type: 'array', maxItems: 9999 } },
      },
      /too large/,
    ],
  ];
  test.each(cases)('%s', (_, constraint, reason) => {
    expect(() => compileConstraint(constraint)).toThrow(StructuredOutputError);
    expect(() => compileConstraint(constraint)).toThrow(reason);
  });

  test('a schema of a thousand properties is not', () => {
    const properties = Object.fromEntries(many(1000).map((name) => [name, { type: 'boolean' }]));
    const accepts = schema({ type: 'object', properties, required: ['o999'] });
    expect(accepts('{"o1":true,"o999":false}')).toBe(true);
    expect(accepts('{"o1":true}')).toBe(false);
  });
});
