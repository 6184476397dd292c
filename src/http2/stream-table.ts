import type { Http2Stream } from './http2-stream.ts';

const firstSlots = 16;

/**
 * Streams by id: open addressing, and what follows a gap moves up, so that nothing points to a stream that is gone. A
 * Map would: streams come and go by the thousand, it makes table after table, and a table that has grown old keeps those
 * after it, with all their streams, from the young generation's collector.
 */
export class StreamTable implements Iterable<Http2Stream> {
  /** Undefined where a slot is free. As many as a power of two, half of them free at least. */
  #slots: (Http2Stream | undefined)[] = freeSlots(firstSlots);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(id: number): Http2Stream | undefined {
    return this.#slots[this.#slotOf(id)];
  }

  /** Of an id that is not there yet. */
  add(stream: Http2Stream): void {
    if (2 * this.#size >= this.#slots.length) this.#grow();
    this.#slots[this.#slotOf(stream.id)] = stream;
    this.#size++;
  }

  /** Does nothing if it is not there. */
  remove(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let gap = this.#slotOf(id);
    if (slots[gap] === undefined) return;
    this.#size--;
    slots[gap] = undefined;
    for (let at = (gap + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) return;
      // It may move if the slot it belongs in is not behind the gap.
      if (((at - firstSlot(stream.id)) & mask) < ((at - gap) & mask)) continue;
      slots[gap] = stream;
      slots[at] = undefined;
      gap = at;
    }
  }

  clear(): void {
    this.#slots = freeSlots(firstSlots);
    this.#size = 0;
  }

  *[Symbol.iterator](): Iterator<Http2Stream> {
    for (const stream of this.#slots) if (stream !== undefined) yield stream;
  }

  /** Where it is, or would be. */
  #slotOf(id: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = firstSlot(id) & mask;
    for (let stream = slots[at]; stream !== undefined && stream.id !== id; stream = slots[at])
      at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = freeSlots(2 * before.length);
    for (const stream of before) if (stream !== undefined) this.#slots[this.#slotOf(stream.id)] = stream;
  }
}

function freeSlots(count: number): (Http2Stream | undefined)[] {
  return new Array(count).fill(undefined);
}

/** Where it belongs, beyond the table's mask too: mixed, as a client may leave out ids. */
function firstSlot(id: number): number {
  return Math.imul(id, 0x9e3779b1) >>> 12;
}
