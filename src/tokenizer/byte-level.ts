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

/** What each token stands for. Filled once per vocabulary, shared by all its streams. */
export interface TokenTexts {
  readonly bytes: readonly (Uint8Array | undefined)[];
  /** The token's text, if its bytes are whole characters. */
  readonly texts: readonly (string | undefined)[];
}

export function tokenTexts(bytes: readonly (Uint8Array | undefined)[]): TokenTexts {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const texts = bytes.map((token) => {
    if (token === undefined) return undefined;
    try {
      return decoder.decode(token);
    } catch {
      // Not whole characters: the stream joins the bytes with those of its neighbours.
      return undefined;
    }
  });
  return { bytes, texts };
}

/**
 * Detokenizes by table: most tokens are whole characters and cost one lookup, the rest go through a UTF-8
 * state machine.
 */
export function createTableDetokenizer(
  { bytes, texts }: TokenTexts,
  skipped: ReadonlySet<number>,
): IncrementalDetokenizer {
  const stream = new Utf8Stream();
  return {
    push: (tokenId) => {
      if (skipped.has(tokenId)) return '';
      const text = texts[tokenId];
      if (text !== undefined && stream.isBetweenCharacters) return text;
      const own = bytes[tokenId];
      return own === undefined ? '' : stream.push(own);
    },
    flush: () => stream.flush(),
  };
}
