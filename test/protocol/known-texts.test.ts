import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KnownTexts } from '../../src/protocol/known-texts.ts';

describe('known texts', () => {
  it('are read as they would be without being known, in any order and length', () => {
    const read = (bytes: Buffer, start: number, end: number) => bytes.toString('utf8', start, end);
    const known = new KnownTexts(8, read);
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 10 })), (texts) => {
        const bytes = Buffer.from(texts.join(''));
        let at = 0;
        for (const text of texts) {
          const end = at + Buffer.byteLength(text);
          expect(known.at(bytes, at, end)).toBe(read(bytes, at, end));
          at = end;
        }
      }),
      { numRuns: 500 },
    );
  });

  it('are made into strings once, if they are short', () => {
    let made = 0;
    const known = new KnownTexts(4, (bytes, start, end) => {
      made++;
      return bytes.toString('latin1', start, end);
    });
    const bytes = Buffer.from('POST/v1/models');
    for (let i = 0; i < 3; i++) {
      expect(known.at(bytes, 0, 4)).toBe('POST');
      expect(known.at(bytes, 4, 14)).toBe('/v1/models');
    }
    expect(made).toBe(1 + 3);
  });
});
