// Node's global is a getter, and this runs for every piece of a response.
import { Buffer } from 'node:buffer';

/** The same bytes as a `Buffer`, without a copy. */
export function bufferView(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
