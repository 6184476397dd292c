import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Automaton, dead } from '../../../src/engine/structured-output/automaton.ts';
import { compileConstraint, StructuredOutputError } from '../../../src/engine/structured-output/index.ts';

const ajv = new Ajv2020({ strict: false, validateFormats: false, multipleOfPrecision: 6 });
/** Bytes that lead to an end. */
const closing = [...Buffer.from('"}]0,:1a-')];

/** Random bytes that the schema's automaton allows, to a place where the text may end; undefined if it got lost. */
function write(automaton: Automaton, next: () => number, most = 1500): string | undefined {
  const bytes: number[] = [];
  let state = automaton.start;
  while (bytes.length < most) {
    if (automaton.isOver(state) || (automaton.isAccepting(state) && next() < 0.3))
      return Buffer.from(bytes).toString('utf8');
    const allowed = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => automaton.step(state, byte) !== dead,
    );
    const ending = closing.filter((byte) => allowed.includes(byte));
    const patience = bytes.length > 200 ? 0.02 : 0.6;
    const from =
      ending.length > 0 && next() > patience ? ending.slice(0, bytes.length > 200 ? 1 : 9) : allowed;
    const byte = from[Math.floor(next() * from.length)]!;
    bytes.push(byte);
    state = automaton.step(state, byte);
  }
  return undefined;
}

/** Texts of a schema, and which of them are wrong. */
function tryOut(schema: object, next: () => number, runs: number) {
  const automaton = new Automaton(compileConstraint({ kind: 'json_schema', schema }));
  const isValid = ajv.compile(schema);
  const texts = Array.from({ length: runs }, () => write(automaton, next)).filter(
    (text) => text !== undefined,
  );
  return { texts, wrong: texts.filter((text) => !isValid(JSON.parse(text))) };
}

function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const person = {
  type: 'object',
  properties: { name: { type: 'string', minLength: 1, maxLength: 3 }, friend: { $ref: '#/$defs/person' } },
  required: ['name'],
  additionalProperties: false,
};

const corners: readonly (readonly [string, object])[] = [
  ['references in references', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/person' }, person } }],
  [
    'a reference with more beside it',
    { $ref: '#/$defs/n', minimum: 3, $defs: { n: { type: 'integer', maximum: 9 } } },
  ],
  ['a path through escapes', { $ref: '#/$defs/a~1b%20c', $defs: { 'a/b c': { const: [1, { x: null }] } } }],
  [
    'keys by a pattern',
    {
      type: 'object',
      patternProperties: { '^x_[a-z]{1,3}$': { type: 'integer' } },
      additionalProperties: false,
    },
  ],
  [
    'keys by a pattern beside named ones',
    {
      type: 'object',
      properties: { id: { const: 1 } },
      required: ['id'],
      patternProperties: { '\\d$': { type: 'boolean' } },
      additionalProperties: false,
    },
  ],
  [
    'other keys, which must not be the named ones again',
    {
      type: 'object',
      properties: { a: { type: 'integer' }, ab: { type: 'boolean' } },
      additionalProperties: { type: 'string' },
    },
  ],
  [
    'names of keys',
    { type: 'object', propertyNames: { enum: ['x', 'y"', 'z\n'] }, additionalProperties: { type: 'null' } },
  ],
  [
    'constants of one type among others',
    { type: 'string', enum: ['a', 1, null, 'é"\\\u0001', 'long'], maxLength: 4 },
  ],
  ['a constant with everything in it', { const: { a: [1, -2.5, 'x\ny', { b: null }], '': true } }],
  ['integers between', { type: 'integer', minimum: -120, exclusiveMaximum: 1305 }],
  ['integers from', { type: 'integer', exclusiveMinimum: 98.5 }],
  ['integers below zero', { type: 'integer', maximum: -7 }],
  ['numbers between', { type: 'number', minimum: -1.25, maximum: 3.5 }],
  ['numbers in a narrow gap', { type: 'number', exclusiveMinimum: 0.1, exclusiveMaximum: 0.100003 }],
  ['numbers above', { type: 'number', exclusiveMinimum: 0 }],
  ['numbers at most', { type: 'number', maximum: -0.001 }],
  ['numbers above a large one', { type: 'number', minimum: 5e12 }],
  ['multiples', { type: 'integer', multipleOf: 7 }],
  ['multiples that show in the last digits', { type: 'integer', multipleOf: 125 }],
  ['even numbers', { type: 'integer', multipleOf: 2 }],
  ['multiples between', { type: 'integer', multipleOf: 25, minimum: -60, maximum: 1000 }],
  ['cents', { type: 'number', multipleOf: 0.01, minimum: 0, maximum: 99.99 }],
  ['texts by length, escapes counted once', { type: 'string', minLength: 2, maxLength: 4 }],
  ['texts by a pattern with escapes', { type: 'string', pattern: '^[\\u0020-\\u00ff"\\\\]{2,5}$' }],
  [
    'options that share what stands beside them',
    {
      type: 'object',
      properties: { kind: { enum: ['a', 'b'] }, v: {} },
      required: ['kind'],
      anyOf: [{ required: ['v'] }, { properties: { kind: { const: 'a' } } }],
    },
  ],
  [
    'all of several',
    {
      allOf: [
        { $ref: '#/$defs/base' },
        { properties: { b: { type: 'integer', minimum: 2 } }, required: ['b'] },
      ],
      $defs: { base: { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'] } },
    },
  ],
  [
    'a tuple and more',
    {
      type: 'array',
      prefixItems: [{ type: 'integer' }, { const: 'x' }],
      items: { type: 'boolean' },
      minItems: 3,
      maxItems: 4,
    },
  ],
  [
    'one of several kinds, told apart by a constant',
    {
      oneOf: [{ $ref: '#/$defs/cat' }, { $ref: '#/$defs/dog' }],
      $defs: {
        cat: {
          type: 'object',
          properties: { kind: { const: 'cat' }, lives: { type: 'integer', maximum: 9 } },
          required: ['kind'],
        },
        dog: {
          type: 'object',
          properties: { kind: { enum: ['dog', 'wolf'] }, lives: { const: 1 } },
          required: ['kind'],
        },
      },
    },
  ],
  [
    'one of several types, ranges and lengths',
    {
      oneOf: [
        { type: 'integer', minimum: -5, exclusiveMaximum: 5 },
        { type: 'number', minimum: 5, maximum: 7 },
        { type: 'string', maxLength: 2 },
        { enum: ['long', null, 8] },
        { type: 'array', items: { type: 'boolean' }, maxItems: 1 },
        { type: 'array', items: { type: 'boolean' }, minItems: 2, maxItems: 3 },
      ],
    },
  ],
  [
    'one of two objects, of which each wants what the other does not have',
    {
      type: 'object',
      properties: { id: { const: 1 } },
      required: ['id'],
      oneOf: [
        { properties: { a: { type: 'boolean' } }, required: ['a'] },
        { properties: { b: { type: 'boolean' } }, required: ['b'] },
      ],
    },
  ],
  ['a tuple cut short', { type: 'array', prefixItems: [{ type: 'integer' }, { const: 'x' }], maxItems: 1 }],
  ['lists by length', { type: 'array', items: { type: ['null', 'boolean'] }, minItems: 2, maxItems: 3 }],
];

describe('whatever the automaton lets through satisfies the schema:', () => {
  test.each(corners)('%s', (_, schema) => {
    const { texts, wrong } = tryOut(schema, numbersFrom(1), 150);
    expect(wrong).toEqual([]);
    expect(texts.length).toBeGreaterThan(100);
  });

  test('any schema of what is understood', () => {
    const numeric = fc.record(
      {
        type: fc.constantFrom('integer', 'number'),
        minimum: fc.oneof(
          fc.integer({ min: -2000, max: 50 }),
          fc.double({ min: -900, max: 50, noNaN: true }),
        ),
        maximum: fc.oneof(
          fc.integer({ min: 50, max: 20_000 }),
          fc.double({ min: 60, max: 990, noNaN: true }),
        ),
        exclusiveMinimum: fc.integer({ min: -2000, max: 40 }),
        exclusiveMaximum: fc.double({ min: 60, max: 1e7, noNaN: true }),
      },
      { requiredKeys: ['type'] },
    );
    const textual = fc.record(
      {
        type: fc.constant('string'),
        minLength: fc.nat(3),
        maxLength: fc.integer({ min: 3, max: 6 }),
      },
      { requiredKeys: ['type'] },
    );
    const constants = fc
      .array(fc.jsonValue({ maxDepth: 2 }), { minLength: 1, maxLength: 3 })
      .map((values) => ({
        // __proto__ is lost in JavaScript's own objects, and ajv calls the other two where it compares.
        enum: JSON.parse(
          JSON.stringify(values).replaceAll(/__proto__|toString|valueOf/g, 'own'),
        ) as unknown[],
      }));
    const leaf = fc.oneof(numeric, textual, constants, fc.constant({ type: ['null', 'boolean'] }));
    const { schema: schemas } = fc.letrec<{ schema: object }>((tie) => ({
      schema: fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        leaf,
        fc.uniqueArray(fc.constantFrom('a', 'ab', 'b"', 'ü', ''), { maxLength: 3 }).chain((names) =>
          fc.record(
            {
              type: fc.constant('object'),
              properties: fc
                .tuple(...names.map(() => tie('schema')))
                .map((each) => Object.fromEntries(names.map((name, i) => [name, each[i]]))),
              required: fc.subarray(names),
              additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
            },
            { requiredKeys: ['type', 'properties'] },
          ),
        ),
        fc.record(
          {
            type: fc.constant('array'),
            items: tie('schema'),
            minItems: fc.nat(2),
            maxItems: fc.integer({ min: 2, max: 3 }),
          },
          { requiredKeys: ['type', 'items'] },
        ),
        fc.array(tie('schema'), { minLength: 1, maxLength: 2 }).map((anyOf) => ({ anyOf })),
        fc.array(tie('schema'), { minLength: 2, maxLength: 2 }).map((allOf) => ({ allOf })),
        // Refused where the options may overlap.
        fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((oneOf) => ({ oneOf })),
      ),
    }));
    let written = 0;
    fc.assert(
      fc.property(schemas, fc.nat(), (schema, seed) => {
        try {
          const { texts, wrong } = tryOut(schema, numbersFrom(seed), 5);
          expect(wrong).toEqual([]);
          written += texts.length;
        } catch (error) {
          // Bounds between which nothing lies, and the like, are refused.
          if (!(error instanceof StructuredOutputError)) throw error;
        }
      }),
      { numRuns: 400 },
    );
    expect(written).toBeGreaterThan(900);
  });
});

describe('a bound is met exactly:', () => {
  const accepts = (schema: object, text: string): boolean => {
    const automaton = new Automaton(compileConstraint({ kind: 'json_schema', schema }));
    let state = automaton.start;
    for (const byte of Buffer.from(text)) {
      state = automaton.step(state, byte);
      if (state === dead) return false;
    }
    return automaton.isAccepting(state);
  };

  test('every integer of a range, and none beside it', () => {
    for (const [minimum, maximum] of [
      [-12, 7],
      [0, 0],
      [95, 1103],
      [-1000, -998],
      [7, 7],
    ] as const)
      for (let value = -1200; value <= 1200; value++)
        expect(
          accepts({ type: 'integer', minimum, maximum }, String(value)),
          `${minimum} ${value} ${maximum}`,
        ).toBe(value >= minimum && value <= maximum);
  });

  test('every hundredth of a range, and none beside it', () => {
    for (const [minimum, maximum] of [
      [-1.25, 0.5],
      [0.07, 0.9],
      [2, 3.1],
    ] as const)
      for (let cents = -200; cents <= 400; cents++) {
        const value = cents / 100;
        const schema = { type: 'number', minimum, maximum };
        expect(accepts(schema, String(value)), `${minimum} ${value} ${maximum}`).toBe(
          value >= minimum && value <= maximum,
        );
        expect(accepts({ ...schema, exclusiveMinimum: minimum }, String(value))).toBe(
          value > minimum && value <= maximum,
        );
      }
  });

  test('dates are those of the calendar, also in leap years', () => {
    const schema = { type: 'string', format: 'date' };
    for (const [day, is] of [
      ['2024-02-29', true],
      ['2023-02-29', false],
      ['1900-02-29', false],
      ['2000-02-29', true],
      ['2023-04-31', false],
      ['2023-12-31', true],
    ] as const)
      expect(accepts(schema, `"${day}"`), day).toBe(is);
  });

  test('half of a surrogate pair is no character', () => {
    const schema = { type: 'string' };
    expect(accepts(schema, '"\\ud83d\\ude00"')).toBe(true);
    for (const half of ['"\\ud83d"', '"\\ude00"', '"\\ud83dx"', '"\\ud83d\\u0041"'])
      expect(accepts(schema, half), half).toBe(false);
  });
});

describe('a schema is refused, with the place and the reason,', () => {
  test.each([
    [{ $ref: '#anchor' }, /only references that begin with #\//],
    [{ $ref: '#/constructor' }, /does not exist/],
    [{ type: 'integer', minimum: 3, maximum: 2 }, /allows no number/],
    [{ type: 'string', enum: [1, 2] }, /none of which it allows/],
    [{ enum: [{}], properties: { a: {} } }, /"properties" beside constants/],
    [{ type: 'integer', multipleOf: 13 }, /multipleOf \(13\) that needs minimum and maximum/],
    [{ type: 'number', multipleOf: 0.3 }, /neither whole nor 0\.1/],
    [{ type: 'object', patternProperties: { a: {}, b: {} } }, /several patternProperties/],
    [
      { type: 'object', properties: { ax: {} }, patternProperties: { a: {} } },
      /"ax", which patternProperties/,
    ],
    [{ type: 'array', items: {}, minItems: 3, maxItems: 2 }, /minItems is above maxItems/],
    [{ type: 'array', prefixItems: [{}], minItems: 2 }, /wants more items than it describes/],
    [{ type: 'array', uniqueItems: true }, /"uniqueItems"/],
    [{ allOf: [{ pattern: 'a' }, { pattern: 'b' }] }, /"pattern" twice/],
  ])('%j', (schema, message) => {
    expect(() => compileConstraint({ kind: 'json_schema', schema })).toThrow(message);
  });
});
