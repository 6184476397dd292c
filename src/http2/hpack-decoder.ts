import { ConnectionError, ErrorCode } from './http2-error.ts';
import { decodeHuffman } from './huffman.ts';

/** Table of RFC 7541, Appendix A; entry i stands at index i + 1. */
const staticTable = (
  ':authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|' +
  ':status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|' +
  'accept-encoding=gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|' +
  'authorization|cache-control|content-disposition|content-encoding|content-language|content-length|' +
  'content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|' +
  'if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|' +
  'proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|' +
  'strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate'
)
  .split('|')
  .map((entry): HeaderField => {
    const [name, value = ''] = entry.split('=');
    return [name!, value];
  });

export type HeaderField = readonly [name: string, value: string];

/** Octets that an entry counts beside its name and value (section 4.1). */
const entryOverheadBytes = 32;

/**
 * Decodes header blocks of one connection. Owns the dynamic table, a ring whose newest entry comes first.
 * Every block of the connection must pass through, also those of refused streams.
 */
export class HpackDecoder {
  readonly #maxTableBytes: number;
  readonly #maxListBytes: number;
  #ring: (HeaderField | undefined)[] = new Array(128);
  #newest = 0;
  #count = 0;
  #tableBytes = 0;
  #tableLimit: number;
  #tableVersion = 0;
  #isListTooLong = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;

  /** `maxTableBytes` is what we announce as SETTINGS_HEADER_TABLE_SIZE. */
  constructor({ maxTableBytes, maxListBytes }: { maxTableBytes: number; maxListBytes: number }) {
    this.#maxTableBytes = maxTableBytes;
    this.#maxListBytes = maxListBytes;
    this.#tableLimit = maxTableBytes;
  }

  /** Counts changes of the dynamic table: between equal versions the same block says the same. */
  get tableVersion(): number {
    return this.#tableVersion;
  }

  /** Whether the last list passed the limit. */
  get isListTooLong(): boolean {
    return this.#isListTooLong;
  }

  /**
   * Fields of one whole block, in order. Of a list over the limit those up to it, and `isListTooLong` says so: indexing
   * lets few bytes stand for very many, so the rest is read for the table's sake alone (RFC 9113, 10.5.1). Throws
   * `COMPRESSION_ERROR` for what cannot be decoded.
   */
  decode(bytes: Uint8Array, start: number, end: number): HeaderField[] {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    const fields: HeaderField[] = [];
    let isBehindField = false;
    let listBytes = 0;
    while (this.#at < end) {
      const first = bytes[this.#at]!;
      let field: HeaderField;
      if (first & 0x80) {
        field = this.#entry(this.#integer(7));
      } else if (first & 0x40) {
        field = this.#literal(6);
        this.#insert(field);
      } else if (first & 0x20) {
        if (isBehindField) throw malformed('a table size update behind a header field');
        this.#resize(this.#integer(5));
        continue;
      } else {
        field = this.#literal(4);
      }
      isBehindField = true;
      listBytes += field[0].length + field[1].length + entryOverheadBytes;
      if (listBytes <= this.#maxListBytes) fields.push(field);
    }
    this.#isListTooLong = listBytes > this.#maxListBytes;
    return fields;
  }

  #literal(prefixBits: number): HeaderField {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    return [name, this.#string()];
  }

  /** Section 5.1. More than four continuation bytes would pass 2^31, which nothing here needs. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value;
    }
    throw malformed('an integer that is too long');
  }

  #string(): string {
    const isHuffman = (this.#peek() & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    if (length > this.#end - start) throw malformed('a string that ends behind its block');
    this.#at = start + length;
    if (isHuffman) return decodeHuffman(this.#bytes, start, this.#at);
    return Buffer.prototype.latin1Slice.call(this.#bytes, start, this.#at);
  }

  #peek(): number {
    if (this.#at >= this.#end) throw malformed('the end of the block inside a field');
    return this.#bytes[this.#at]!;
  }

  #byte(): number {
    const byte = this.#peek();
    this.#at++;
    return byte;
  }

  #entry(index: number): HeaderField {
    if (index >= 1 && index <= staticTable.length) return staticTable[index - 1]!;
    const place = index - staticTable.length - 1;
    if (place < 0 || place >= this.#count) throw malformed(`index ${index}, which no table has`);
    return this.#ring[(this.#newest + place) % this.#ring.length]!;
  }

  #insert(field: HeaderField): void {
    this.#tableVersion++;
    const size = field[0].length + field[1].length + entryOverheadBytes;
    this.#evictTo(this.#tableLimit - size);
    // Section 4.4: an entry larger than the table empties it, and that is no error.
    if (size > this.#tableLimit) return;
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + this.#ring.length - 1) % this.#ring.length;
    this.#ring[this.#newest] = field;
    this.#count++;
    this.#tableBytes += size;
  }

  #resize(bytes: number): void {
    this.#tableVersion++;
    if (bytes > this.#maxTableBytes) throw malformed('a table size over the announced one');
    this.#tableLimit = bytes;
    this.#evictTo(bytes);
  }

  #evictTo(bytes: number): void {
    while (this.#count > 0 && this.#tableBytes > bytes) {
      this.#count--;
      const oldest = (this.#newest + this.#count) % this.#ring.length;
      const [name, value] = this.#ring[oldest]!;
      this.#tableBytes -= name.length + value.length + entryOverheadBytes;
      this.#ring[oldest] = undefined;
    }
  }

  #grow(): void {
    const ring: (HeaderField | undefined)[] = new Array(this.#ring.length * 2);
    for (let i = 0; i < this.#count; i++) ring[i] = this.#ring[(this.#newest + i) % this.#ring.length];
    this.#ring = ring;
    this.#newest = 0;
  }
}

function malformed(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.CompressionError, `Expected an HPACK header block, found ${what}.`);
}
