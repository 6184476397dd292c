import type { RequestHead } from './request-head.ts';

const longestBlock = 256;

/**
 * The last request's header block and what it said. A client whose requests are alike sends the same few indices
 * each time; as long as the dynamic table is the same too, so are the fields, and were found valid.
 */
export class RepeatedHead {
  #block = new Uint8Array(0);
  #tableVersion = -1;
  #head: RequestHead | undefined;

  /** What `bytes[start, end)` says, if it is the block that was kept. */
  find(bytes: Uint8Array, start: number, end: number, tableVersion: number): RequestHead | undefined {
    const block = this.#block;
    if (tableVersion !== this.#tableVersion || block.length !== end - start) return undefined;
    for (let i = 0; i < block.length; i++) if (block[i] !== bytes[start + i]) return undefined;
    return this.#head;
  }

  /** A block that has left the dynamic table as it was. */
  keep(bytes: Uint8Array, start: number, end: number, tableVersion: number, head: RequestHead): void {
    if (end - start > longestBlock) return;
    this.#block = Uint8Array.prototype.slice.call(bytes, start, end);
    this.#tableVersion = tableVersion;
    this.#head = head;
  }
}
