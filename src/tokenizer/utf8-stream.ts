const replacement = '\ufffd';

/**
 * UTF-8 bytes that come in any pieces, to text. Emits only whole characters; malformed input becomes U+FFFD,
 * one per maximal subpart, as the WHATWG Encoding Standard prescribes (§8.1.1 UTF-8 decoder).
 */
export class Utf8Stream {
  #codePoint = 0;
  /** Continuation bytes still missing; 0 between characters. */
  #needed = 0;
  /** Range of the next continuation byte; narrower after E0, ED, F0 and F4. */
  #lower = 0x80;
  #upper = 0xbf;

  get isBetweenCharacters(): boolean {
    return this.#needed === 0;
  }

  push(bytes: Uint8Array): string {
    let text = '';
    for (const byte of bytes) text += this.#pushByte(byte);
    return text;
  }

  flush(): string {
    if (this.#needed === 0) return '';
    this.#reset();
    return replacement;
  }

  #pushByte(byte: number): string {
    if (this.#needed === 0) return this.#start(byte);
    if (byte < this.#lower || byte > this.#upper) {
      this.#reset();
      return replacement + this.#start(byte);
    }
    this.#lower = 0x80;
    this.#upper = 0xbf;
    this.#codePoint = (this.#codePoint << 6) | (byte & 0x3f);
    return --this.#needed === 0 ? String.fromCodePoint(this.#codePoint) : '';
  }

  #start(byte: number): string {
    if (byte < 0x80) return String.fromCharCode(byte);
    if (byte >= 0xc2 && byte <= 0xdf) return this.#expect(1, byte & 0x1f, 0x80, 0xbf);
    if (byte >= 0xe0 && byte <= 0xef)
      return this.#expect(2, byte & 0x0f, byte === 0xe0 ? 0xa0 : 0x80, byte === 0xed ? 0x9f : 0xbf);
    if (byte >= 0xf0 && byte <= 0xf4)
      return this.#expect(3, byte & 0x07, byte === 0xf0 ? 0x90 : 0x80, byte === 0xf4 ? 0x8f : 0xbf);
    return replacement;
  }

  #expect(needed: number, codePoint: number, lower: number, upper: number): string {
    this.#needed = needed;
    this.#codePoint = codePoint;
    this.#lower = lower;
    this.#upper = upper;
    return '';
  }

  #reset(): void {
    this.#needed = 0;
    this.#lower = 0x80;
    this.#upper = 0xbf;
  }
}
