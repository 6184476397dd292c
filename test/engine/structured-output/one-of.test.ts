import { expect, test } from 'vitest';
import { compileConstraint } from '../../../src/engine/structured-output/index.ts';

const compile = (schema: unknown) => () => compileConstraint({ kind: 'json_schema', schema });
const member = (name: string, value: object, isRequired = true) => ({
  type: 'object',
  properties: { [name]: value },
  ...(isRequired ? { required: [name] } : {}),
});

test.each([
  ['whole numbers are numbers', [{ type: 'integer' }, { type: 'number' }]],
  [
    'bounds that touch',
    [
      { type: 'number', maximum: 5 },
      { type: 'number', minimum: 5 },
    ],
  ],
  ['a constant of the type beside it', [{ type: 'string' }, { const: 'x' }]],
  ['the same constant twice', [{ enum: [1, { a: 1 }] }, { enum: [{ a: 1 }] }]],
  ['a member that need not be there', [member('k', { const: 1 }, false), member('k', { const: 2 })]],
  ['objects that may be of both kinds', [member('a', {}, false), member('b', {}, false)]],
  [
    'objects that may have other members',
    [
      { ...member('a', {}), additionalProperties: true },
      { ...member('b', {}), additionalProperties: true },
    ],
  ],
  ['an option without a type', [{ type: 'null' }, { properties: { a: {} }, required: ['a'] }]],
  [
    'patterns',
    [
      { type: 'string', pattern: '^a' },
      { type: 'string', pattern: '^b' },
    ],
  ],
  [
    'too many constants',
    [
      { enum: Array.from({ length: 5000 }, (_, i) => i) },
      { enum: Array.from({ length: 5000 }, (_, i) => -1 - i) },
    ],
  ],
])('options of oneOf that may hold together are refused: %s', (_, oneOf) => {
  expect(compile({ oneOf })).toThrow(/options 0 and 1 \(from 0\) may hold for one text.*say "anyOf"/);
  expect(compile({ anyOf: oneOf })).not.toThrow();
});

test.each([
  [
    'bounds of which one is open',
    [
      { type: 'number', exclusiveMaximum: 5 },
      { type: 'number', minimum: 5 },
    ],
  ],
  ['members that the other does not describe', [member('a', {}), member('b', {})]],
  [
    'options in options',
    [{ anyOf: [{ const: 1 }, { const: 2 }] }, { oneOf: [{ const: 3 }, { type: 'null' }] }],
  ],
])('options of oneOf that exclude each other are held to: %s', (_, oneOf) => {
  expect(compile({ oneOf })).not.toThrow();
});

test('lengths between which there is none are refused', () => {
  expect(compile({ type: 'string', minLength: 2, maxLength: 1 })).toThrow(/minLength is above maxLength/);
});

test('references in a circle are refused where they are joined', () => {
  const $defs = { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } };
  for (const schema of [
    { allOf: [{ $ref: '#/$defs/a' }], $defs },
    { oneOf: [{ $ref: '#/$defs/a' }, {}], $defs },
  ])
    expect(compile(schema)).toThrow(/circle/);
});
