import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonPieces } from '../../bench/fuzz/scan-bodies.ts';
import { decodeJsonString, JsonSyntaxError, scanJson } from '../../src/protocol/json-scan.ts';

const scan = (text: string) => scanJson(Buffer.from(text));

function errorOf(body: Buffer, options = {}): JsonSyntaxError {
  try {
    scanJson(body, options);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error;
    throw error;
  }
  throw new Error(`accepted ${body}`);
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function accepts(text: string): boolean {
  try {
    scan(text);
    return true;
  } catch (error) {
    if (error instanceof JsonSyntaxError) return false;
    throw error;
  }
}

describe('scanJson', () => {
  it('tells type and bytes of every top-level member', () => {
    const body = Buffer.from(' {"a" : 1.5e3 ,"b":"x\\"y","c":[1,{"a":2}],"d":{"e":[]},"f":null,"g":true}\n');
    const { members, type, start, end } = scanJson(body);
    expect([type, start, end]).toEqual(['object', 1, body.length - 1]);
    const seen = [...members].map(([key, range]) => [
      key,
      range.type,
      body.toString('utf8', range.start, range.end),
    ]);
    expect(seen).toEqual([
      ['a', 'number', '1.5e3'],
      ['b', 'string', '"x\\"y"'],
      ['c', 'array', '[1,{"a":2}]'],
      ['d', 'object', '{"e":[]}'],
      ['f', 'null', 'null'],
      ['g', 'boolean', 'true'],
    ]);
  });

  it('tells the length of the longest string value, however deep; keys do not count', () => {
    expect(scan('{"a":"xy","bbbbbbbbbb":[1,{"c":"x\\"yz"}],"d":"z"}').longestString).toBe(7);
    expect(scan('{"a":[1,true,null]}').longestString).toBe(0);
    expect(scan('"whole"').longestString).toBe(7);
  });

  it('lets the last of duplicate keys win, as JSON.parse does, also when one is escaped', () => {
    const body = Buffer.from('{"model":"a","mod\\u0065l":"b"}');
    expect(decodeJsonString(body, scanJson(body).members.get('model')!)).toBe('b');
  });

  it('keeps only the keys that are asked for', () => {
    const { members } = scanJson(Buffer.from('{"a":1,"b":{"a":3},"c":2}'), { keys: new Set(['b']) });
    expect([...members.keys()]).toEqual(['b']);
  });

  it.each([
    ['', 1, 1, 0, 'a JSON value, found the end of the body'],
    ['{"a":1,}', 1, 8, 7, 'a key in double quotes, found "}"'],
    ['{"a" 1}', 1, 6, 5, '":", found "1"'],
    ['{"a":1\n "b":2}', 2, 2, 8, '"," or "}", found "\\""'],
    ['[1 2]', 1, 4, 3, '"," or "]", found "2"'],
    ['{"é":nul}', 1, 9, 9, '"null", found "}"'],
    ['{"a":"b', 1, 8, 7, 'a closing double quote, found the end of the body'],
    ['{"a":"\n"}', 1, 7, 6, 'control characters to be escaped, found byte 0x0a'],
    ['"\\x"', 1, 3, 2, 'one of "\\/bfnrtu after a backslash, found "x"'],
    ['{"a":"\\u12g4"}', 1, 11, 10, 'four hexadecimal digits, found "g"'],
    ['-', 1, 2, 1, 'a digit, found the end of the body'],
    ['{"a":01}', 1, 7, 6, '"," or "}", found "1"'],
    ['{} {}', 1, 4, 3, 'the end of the body, found "{"'],
    ['\ufeff{}', 1, 1, 0, 'a JSON value, found byte 0xef'],
  ])('says where %j is wrong and what was expected', (text, line, column, byte, rest) => {
    expect(errorOf(Buffer.from(text)).message).toBe(
      `invalid JSON at line ${line}, column ${column} (byte ${byte}): expected ${rest}`,
    );
  });

  it('says where UTF-8 ends', () => {
    const error = errorOf(
      Buffer.concat([Buffer.from('{"é":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
    );
    expect(error.byteOffset).toBe(7);
    expect(error.message).toContain('expected UTF-8 text, found byte 0xc3');
  });

  it('refuses containers nested deeper than the limit, in time linear in the body', () => {
    const deep = (levels: number) => Buffer.from('['.repeat(levels) + ']'.repeat(levels));
    expect(scanJson(deep(8), { maxDepth: 8 }).type).toBe('array');
    expect(errorOf(deep(9), { maxDepth: 8 }).byteOffset).toBe(8);
    expect(errorOf(Buffer.from('{"a":'.repeat(200_000))).message).toContain('at most 256 nested containers');
  });

  it('accepts exactly the texts that JSON.parse accepts, near JSON', () => {
    const pieces = fc.constantFrom(...jsonPieces, '\\u', '1', '-', '.', 'e', 'E+', '1.5', '"model":');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), (parts) => {
        const text = parts.join('');
        expect(accepts(text)).toBe(parses(text));
      }),
      { numRuns: 3000 },
    );
  });

  it('accepts valid documents, and agrees with JSON.parse after any one change', () => {
    fc.assert(
      fc.property(
        fc.json(),
        fc.nat(),
        fc.constantFrom('', ',', '"', '}', '0', '\\', ' '),
        (text, seed, change) => {
          expect(accepts(text)).toBe(true);
          const at = seed % (text.length + 1);
          const changed = text.slice(0, at) + change + text.slice(at + 1);
          if (Buffer.from(changed).toString() === changed) expect(accepts(changed)).toBe(parses(changed));
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('finds the members that JSON.parse finds', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()),
        fc.boolean(),
        (value, isPretty) => {
          const body = Buffer.from(JSON.stringify(value, null, isPretty ? 2 : undefined));
          const found = [...scanJson(body).members].map(([key, { start, end }]) => [
            key,
            JSON.parse(body.toString('utf8', start, end)),
          ]);
          const parsed = JSON.parse(body.toString()) as Record<string, unknown>;
          expect(new Map(found as [string, unknown][])).toEqual(new Map(Object.entries(parsed)));
        },
      ),
    );
  });

  it('never accepts bytes that are not UTF-8, and points at or before them', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.uint8Array({ minLength: 1, maxLength: 4 }),
        (text, bytes) => {
          const body = Buffer.concat([Buffer.from(JSON.stringify(text)), Buffer.from(bytes)]);
          const decoded = new TextDecoder('utf-8', { ignoreBOM: true });
          const isValid = Buffer.from(decoded.decode(body)).equals(body);
          if (isValid) return;
          const { byteOffset } = errorOf(body);
          expect(byteOffset).toBeLessThan(body.length);
        },
      ),
    );
  });
});
