/**
 * Writes MessagePack (the part that KV events need) into one growing buffer. Every value takes its shortest
 * form, as msgspec writes it.
 */
export class MessagePackWriter {
  #buffer = Buffer.allocUnsafe(4096);
  #at = 0;

  /** What was written since the last call, as a copy. */
  take(): Buffer {
    const taken = Buffer.from(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
    return taken;
  }

  nil(): this {
    return this.#byte(0xc0);
  }

  arrayHead(length: number): this {
    if (length < 16) return this.#byte(0x90 | length);
    return length < 0x10000 ? this.#head16(0xdc, length) : this.#head32(0xdd, length);
  }

  mapHead(entries: number): this {
    if (entries < 16) return this.#byte(0x80 | entries);
    return entries < 0x10000 ? this.#head16(0xde, entries) : this.#head32(0xdf, entries);
  }

  /** A whole number from 0 to 2^32 - 1. */
  unsigned(value: number): this {
    if (value < 0x80) return this.#byte(value);
    if (value < 0x100) return this.#byte(0xcc).#byte(value);
    return value < 0x10000 ? this.#head16(0xcd, value) : this.#head32(0xce, value);
  }

  /** A 64-bit unsigned number in two halves: JavaScript numbers end at 2^53. */
  unsigned64(high: number, low: number): this {
    if (high === 0) return this.unsigned(low);
    this.#head32(0xcf, high).#reserve(4);
    this.#at = this.#buffer.writeUInt32BE(low, this.#at);
    return this;
  }

  float64(value: number): this {
    this.#byte(0xcb).#reserve(8);
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
    return this;
  }

  text(value: string): this {
    const length = Buffer.byteLength(value);
    if (length < 32) this.#byte(0xa0 | length);
    else if (length < 0x100) this.#byte(0xd9).#byte(length);
    else if (length < 0x10000) this.#head16(0xda, length);
    else this.#head32(0xdb, length);
    this.#reserve(length);
    this.#at += this.#buffer.write(value, this.#at);
    return this;
  }

  bytes(value: Uint8Array): this {
    if (value.length < 0x100) this.#byte(0xc4).#byte(value.length);
    else if (value.length < 0x10000) this.#head16(0xc5, value.length);
    else this.#head32(0xc6, value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  #byte(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#at++] = value;
    return this;
  }

  #head16(tag: number, value: number): this {
    this.#byte(tag).#reserve(2);
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
    return this;
  }

  #head32(tag: number, value: number): this {
    this.#byte(tag).#reserve(4);
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
    return this;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    const longer = Buffer.allocUnsafe(2 * needed);
    this.#buffer.copy(longer, 0, 0, this.#at);
    this.#buffer = longer;
  }
}
