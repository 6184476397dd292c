import { randomFillSync } from 'node:crypto';

const idsPerFill = 1024;
const hexDigits = Buffer.from('0123456789abcdef');

/**
 * A source of random UUIDs (RFC 9562, version 4). Each is one flat string: `randomUUID` of Node joins twenty, and all
 * of these live as long as the id.
 */
export function requestIds(): () => string {
  const random = Buffer.alloc(16 * idsPerFill);
  const text = Buffer.alloc(36);
  let at = random.length;
  return () => {
    if (at === random.length) {
      randomFillSync(random);
      at = 0;
    }
    random[at + 6] = (random[at + 6]! & 0x0f) | 0x40;
    random[at + 8] = (random[at + 8]! & 0x3f) | 0x80;
    let to = 0;
    for (let i = 0; i < 16; i++) {
      if (i === 4 || i === 6 || i === 8 || i === 10) text[to++] = 0x2d;
      const byte = random[at + i]!;
      text[to++] = hexDigits[byte >>> 4]!;
      text[to++] = hexDigits[byte & 15]!;
    }
    at += 16;
    return text.toString('latin1', 0, 36);
  };
}
