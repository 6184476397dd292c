import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Constraint } from '../../../src/engine/structured-output/index.ts';
import { packVocabulary, StructureCache } from '../../../src/engine/structured-output/index.ts';

/** Single bytes and longer tokens, one of them twice, some that end inside a character; the last has no bytes. */
const tokens = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...['{"', '":', '", "', '"}', 'true', 'true', '123', ' \n', '{"a": [', 'é"', ']]', '\\u00'].map((text) =>
    Buffer.from(text),
  ),
  Buffer.from('😀').subarray(0, 2),
  Buffer.from('😀"').subarray(2),
  new Uint8Array(),
];
const cacheOf = () => {
  const cache = new StructureCache();
  cache.useVocabulary(packVocabulary(tokens));
  return cache;
};
const allowed = (mask: Uint32Array) =>
  tokens.flatMap((_, id) => (((mask[id >>> 5]! >>> (id & 31)) & 1) === 1 ? [id] : []));

test('the mask is what trying every token would give', () => {
  const constraints: Constraint[] = [
    { kind: 'json_object' },
    { kind: 'json_schema', schema: { type: 'array', items: { type: 'boolean' } } },
    { kind: 'regex', pattern: '[^x]{1,4}|true' },
    { kind: 'choice', options: ['true story', '{"a": [1]}', 'é"'] },
  ];
  const cache = cacheOf();
  fc.assert(
    fc.property(
      fc.constantFrom(...constraints),
      fc.array(fc.nat(), { maxLength: 12 }),
      (constraint, picks) => {
        const text = cache.begin(constraint);
        const path: number[] = [];
        for (const pick of picks) {
          const fitting = allowed(text.mask);
          const tried = tokens.flatMap((token, id) => {
            const copy = cache.begin(constraint);
            for (const before of path) copy.push(before);
            copy.push(id);
            const isAlive = !copy.isOver || copy.mayEnd;
            return token.length > 0 && isAlive ? [id] : [];
          });
          expect(fitting).toEqual(tried);
          if (fitting.length === 0) return;
          const next = fitting[pick % fitting.length]!;
          path.push(next);
          text.push(next);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('whatever is chosen, the text is JSON when it may end', () => {
  const cache = cacheOf();
  const constraint: Constraint = {
    kind: 'json_schema',
    schema: { type: 'object', properties: { a: { type: 'array' }, b: { type: 'string' } }, required: ['b'] },
  };
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 60 }), (picks) => {
      const text = cache.begin(constraint);
      const written: Uint8Array[] = [];
      for (const pick of picks) {
        const fitting = allowed(text.mask);
        if (fitting.length === 0) break;
        const next = fitting[pick % fitting.length]!;
        text.push(next);
        written.push(tokens[next]!);
      }
      if (text.mayEnd) expect(typeof JSON.parse(Buffer.concat(written).toString()).b).toBe('string');
      expect(text.isOver).toBe(text.mayEnd);
    }),
  );
});

test('a choice is over as soon as it is made, and may end where a longer one goes on', () => {
  const text = cacheOf().begin({ kind: 'choice', options: ['a', 'ab'] });
  text.push(97);
  expect([text.mayEnd, text.isOver, allowed(text.mask)]).toEqual([true, false, [98]]);
  text.push(98);
  expect([text.mayEnd, text.isOver, allowed(text.mask)]).toEqual([true, true, []]);
});

test('a pattern with more states than there is room for ends its texts early, and the next one begins afresh', () => {
  const cache = cacheOf();
  const constraint: Constraint = { kind: 'regex', pattern: '[ab]*a[ab]{2000}' };
  const write = (): number => {
    const text = cache.begin(constraint);
    let length = 0;
    for (; length < 1500 && allowed(text.mask).includes(97); length++)
      text.push(97 + (length % 7 === 0 ? 1 : 0));
    return length;
  };
  const first = write();
  expect(first).toBeGreaterThan(100);
  expect(first).toBeLessThan(1500);
  expect(write()).toBe(first);
});
