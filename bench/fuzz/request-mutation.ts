import type { Dice } from './dice.ts';
import { commonValues, mutatedJson } from './file-mutation.ts';
import { type RequestBase, requestBases } from './request-bodies.ts';

export interface MutatedRequest {
  readonly path: string;
  readonly kinds: readonly string[];
  readonly body: Buffer;
  /** Bytes of the answer after which the client leaves; absent: it reads to the end. */
  readonly leavesAfterBytes: number | undefined;
}

/** Stands where a value nests deeper than a recursive function may. */
const deep = '@@deep@@';
const depths = [40, 2_000, 20_000, 200_000];

const values = [
  ...commonValues,
  deep,
  { a: deep },
  [deep],
  'word '.repeat(2_000),
  'x'.repeat(300_000),
  '\ud800',
  '<|im_end|>',
  '\u0000',
  '#/properties',
  '#/$defs/%',
  '(a{1,9}){1,9}',
  '[^]*',
  [null],
  [{}],
  [[], {}],
  { type: 'array', items: { $ref: '#' } },
  { $ref: '#' },
  { allOf: [null] },
  2 ** 31,
  -(2 ** 63),
];

/**
 * A request with one to three changes: values replaced, removed or added at any depth, fields of another
 * request, bytes of its text.
 */
export function mutatedRequest(dice: Dice): MutatedRequest {
  const base = dice.oneOf(requestBases);
  const grafted = dice.chance(0.2) ? graft(base, dice.oneOf(requestBases), dice) : base.body;
  const { kinds, bytes } = mutatedJson(grafted, dice, values);
  const depth = dice.oneOf(depths);
  const nested = dice.chance(0.5)
    ? `${'['.repeat(depth)}${']'.repeat(depth)}`
    : `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  const body = bytes.includes(deep)
    ? Buffer.from(bytes.toString().replaceAll(JSON.stringify(deep), () => nested))
    : bytes;
  return { path: base.path, kinds, body, leavesAfterBytes: dice.chance(0.1) ? dice.below(400) : undefined };
}

/** The first body with one field of the second. */
function graft(to: RequestBase, from: RequestBase, dice: Dice): RequestBase['body'] {
  const name = dice.oneOf(Object.keys(from.body));
  return { ...to.body, [name]: from.body[name] };
}
