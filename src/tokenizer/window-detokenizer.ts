import type { IncrementalDetokenizer } from './incremental-detokenizer.ts';

/**
 * Detokenizes with a decoder that only knows whole lists (SentencePiece, WordPiece…): decodes a short window
 * before the new token with and without it, and emits the difference, as transformers' streamers do. Text that
 * ends in U+FFFD may be half a character and is held back.
 */
export function createWindowDetokenizer(
  decode: (tokenIds: readonly number[]) => string,
  skipped: ReadonlySet<number>,
): IncrementalDetokenizer {
  /** Tokens of the window: the first `read` are emitted and give context to the rest. */
  let window: number[] = [];
  let read = 0;
  let emitted = '';
  return {
    push: (tokenId) => {
      if (skipped.has(tokenId)) return '';
      window.push(tokenId);
      const text = decode(window);
      if (text.length <= emitted.length || text.endsWith('\ufffd')) return '';
      const delta = text.slice(emitted.length);
      window = window.slice(read);
      read = window.length;
      emitted = decode(window);
      return delta;
    },
    flush: () => {
      if (window.length === read) return '';
      const delta = decode(window).slice(emitted.length);
      read = window.length;
      return delta;
    },
  };
}
