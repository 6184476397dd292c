/**
 * Finds one byte in bytes that are gone through from front to back in many calls, each of which may end long before the
 * byte comes: all of them together look at each byte once. Holds on to the bytes that it was last asked about.
 */
export class NextByte {
  readonly #byte: number;
  #bytes: Buffer | undefined;
  #from = 0;
  #at = 0;

  constructor(byte: number) {
    this.#byte = byte;
  }

  /** Where the byte is at `from` or behind it; infinity if it is not. */
  find(bytes: Buffer, from: number): number {
    if (bytes === this.#bytes && from >= this.#from && from <= this.#at) return this.#at;
    const at = bytes.indexOf(this.#byte, from);
    this.#bytes = bytes;
    this.#from = from;
    this.#at = at === -1 ? Number.POSITIVE_INFINITY : at;
    return this.#at;
  }

  /** The memory of the bytes may have other contents now. */
  forget(): void {
    this.#bytes = undefined;
  }
}
