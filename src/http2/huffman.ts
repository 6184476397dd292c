import { ConnectionError, ErrorCode } from './http2-error.ts';

/**
 * Huffman code of HPACK (RFC 7541, Appendix B): the length in bits of each symbol's code, 0 to 255 and EOS,
 * one base-36 digit each. The code is canonical, so the lengths say everything: symbols sorted by length,
 * then by value, take consecutive codes.
 */
const lengths =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u';

const endOfString = 256;
const tree = buildTree();

/** Two entries a node, for bit 0 and 1: the next node, or -(symbol + 1). */
function buildTree(): Int16Array {
  const symbols = Array.from(lengths, (digit, symbol) => ({ symbol, length: Number.parseInt(digit, 36) }));
  symbols.sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  const nodes = new Int16Array(2 * 2 * symbols.length);
  let used = 1;
  let code = 0;
  let previousLength = symbols[0]!.length;
  for (const { symbol, length } of symbols) {
    code *= 2 ** (length - previousLength);
    previousLength = length;
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const edge = node * 2 + ((code >>> bit) & 1);
      if (nodes[edge] === 0) nodes[edge] = used++;
      node = nodes[edge]!;
    }
    nodes[node * 2 + (code & 1)] = -(symbol + 1);
    code++;
  }
  return nodes.slice(0, used * 2);
}

/** The text of `[start, end)`, one character a byte. Throws `COMPRESSION_ERROR` on EOS or wrong padding. */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  let node = 0;
  let bitsOpen = 0;
  let isPadding = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >>> shift) & 1;
      const next = tree[node * 2 + bit]!;
      bitsOpen++;
      if (bit === 0) isPadding = false;
      if (next >= 0) {
        node = next;
        continue;
      }
      const symbol = -next - 1;
      if (symbol === endOfString) throw malformed('the end-of-string symbol');
      text += String.fromCharCode(symbol);
      node = 0;
      bitsOpen = 0;
      isPadding = true;
    }
  }
  // Section 5.2: padding is the most significant bits of EOS, which are ones, and shorter than 8 bits.
  if (bitsOpen > 7 || (bitsOpen > 0 && !isPadding)) throw malformed('padding that is not a prefix of EOS');
  return text;
}

function malformed(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.CompressionError, `Expected a Huffman-coded string, found ${what}.`);
}
