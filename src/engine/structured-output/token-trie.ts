import type { Vocabulary } from './vocabulary.ts';

const noToken = -1;

/**
 * The tokens as a trie, its nodes in depth-first order: a walk is one loop, and a subtree that does not fit is
 * one jump. Tokens with equal bytes are nodes of their own, beside each other.
 */
export interface TokenTrie {
  readonly nodes: number;
  /** Per node: its byte, its depth from 1, its token or `-1`, and the first node after its subtree. */
  readonly bytes: Uint8Array;
  readonly depths: Int32Array;
  readonly tokens: Int32Array;
  readonly ends: Int32Array;
  readonly maxDepth: number;
}

export function createTokenTrie(vocabulary: Vocabulary): TokenTrie {
  // One character per byte: strings are several times faster to sort than byte arrays.
  const whole = Buffer.from(vocabulary.bytes.buffer, vocabulary.bytes.byteOffset, vocabulary.bytes.length);
  const texts = Array.from({ length: vocabulary.starts.length - 1 }, (_, id) =>
    whole.toString('latin1', vocabulary.starts[id], vocabulary.starts[id + 1]),
  );
  const order = [...texts.keys()].filter((id) => texts[id] !== '');
  order.sort((a, b) => (texts[a]! < texts[b]! ? -1 : texts[a]! > texts[b]! ? 1 : a - b));
  const bytes: number[] = [];
  const depths: number[] = [];
  const tokens: number[] = [];
  let before = '';
  for (const id of order) {
    const text = texts[id]!;
    const shared = Math.min(commonLength(before, text), text.length - 1);
    for (let depth = shared; depth < text.length; depth++) {
      bytes.push(text.charCodeAt(depth));
      depths.push(depth + 1);
      tokens.push(depth === text.length - 1 ? id : noToken);
    }
    before = text;
  }
  const maxDepth = depths.reduce((most, depth) => Math.max(most, depth), 0);
  return {
    nodes: bytes.length,
    bytes: Uint8Array.from(bytes),
    depths: Int32Array.from(depths),
    tokens: Int32Array.from(tokens),
    ends: subtreeEnds(depths, maxDepth),
    maxDepth,
  };
}

function commonLength(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

/** A subtree ends where the depth is again that of its root, or less. */
function subtreeEnds(depths: readonly number[], maxDepth: number): Int32Array {
  const ends = new Int32Array(depths.length);
  const open: number[] = new Array(maxDepth + 1).fill(-1);
  let deepest = 0;
  for (let node = 0; node <= depths.length; node++) {
    const depth = depths[node] ?? 0;
    for (; deepest >= Math.max(depth, 1); deepest--) ends[open[deepest]!] = node;
    open[depth] = node;
    deepest = depth;
  }
  return ends;
}
