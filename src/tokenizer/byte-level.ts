import type { IncrementalDetokenizer } from './incremental-detokenizer.ts';
import { Utf8Stream } from './utf8-stream.ts';

/**
 * Byte-level BPE writes each byte as one printable character (GPT-2's table): the printable Latin-1 bytes as
 * themselves, the other 68 as U+0100 and up.
 */
export const byteOfCharacter: ReadonlyMap<string, number> = byteTable();

function byteTable(): Map<string, number> {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  const table = new Map<string, number>();
  let shifted = 0x100;
  for (let byte = 0; byte < 256; byte++)
    table.set(String.fromCharCode(isPrintable(byte) ? byte : shifted++), byte);
  return table;
}

/** The bytes of a byte-level token; characters outside the table stand for themselves. */
export function bytesOfToken(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) bytes.push(...Buffer.from(character, 'utf8'));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** What each token stands for; shared by all streams of a vocabulary. */
export interface TokenTexts {
  readonly bytes: readonly (Uint8Array | undefined)[];
  /** The token's text, if its bytes are whole characters. */
  textOf(tokenId: number): string | undefined;
}

/** Texts are made when they are first asked for: a vocabulary has many more tokens than ever come. */
export function tokenTexts(bytes: readonly (Uint8Array | undefined)[]): TokenTexts {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const notWhole = Symbol('bytes that are no whole characters');
  const texts = new Array<string | typeof notWhole | undefined>(bytes.length);
  const decode = (token: Uint8Array) => {
    try {
      return decoder.decode(token);
    } catch {
      // The stream joins the bytes with those of its neighbours.
      return notWhole;
    }
  };
  return {
    bytes,
    textOf: (tokenId) => {
      const token = bytes[tokenId];
      if (token === undefined) return undefined;
      texts[tokenId] ??= decode(token);
      const text = texts[tokenId];
      return typeof text === 'string' ? text : undefined;
    },
  };
}

/**
 * Detokenizes by table: most tokens are whole characters and cost one lookup, the rest go through a UTF-8
 * state machine.
 */
export function createTableDetokenizer(
  { bytes, textOf }: TokenTexts,
  skipped: ReadonlySet<number>,
): IncrementalDetokenizer {
  const stream = new Utf8Stream();
  return {
    push: (tokenId) => {
      if (skipped.has(tokenId)) return '';
      const text = stream.isBetweenCharacters ? textOf(tokenId) : undefined;
      if (text !== undefined) return text;
      const own = bytes[tokenId];
      return own === undefined ? '' : stream.push(own);
    },
    flush: () => stream.flush(),
  };
}
