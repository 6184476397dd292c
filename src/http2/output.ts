import type { Duplex } from 'node:stream';
import { FrameType, frameHeaderBytes } from './frame.ts';

const slabBytes = 64 * 1024;

/**
 * What a connection is about to write. Frames are encoded straight into a slab and leave in one write per
 * turn of reading. The slab is filled again from its start once the socket has taken all that was written, so that it
 * stays in the processor's caches; while the socket holds parts of it, another one takes the place of a full one.
 */
export class Output {
  readonly #socket: Duplex;
  readonly #maxQueuedBytes: number;
  readonly #maxUnsentBytes: number;
  #slab = Buffer.allocUnsafeSlow(slabBytes);
  #slabBytes = slabBytes;
  #start = 0;
  #at = 0;
  #isFlushPlanned = false;
  #isHeld = false;

  constructor(socket: Duplex, limits: { readonly maxQueuedBytes: number; readonly maxUnsentBytes: number }) {
    this.#socket = socket;
    this.#maxQueuedBytes = limits.maxQueuedBytes;
    this.#maxUnsentBytes = limits.maxUnsentBytes;
  }

  /** The socket takes less than we give: streams should stop until it drains. */
  get isCongested(): boolean {
    return this.#socket.writableLength > this.#maxQueuedBytes;
  }

  /** The socket holds so much that nothing should be read that makes it more. */
  get isOverfull(): boolean {
    return this.#socket.writableLength > this.#maxUnsentBytes;
  }

  /** While held, frames gather; `release` writes them. Used around the handling of one read. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.flush();
  }

  frame(type: number, flags: number, streamId: number, length: number): void {
    this.#reserve(frameHeaderBytes + length);
    const slab = this.#slab;
    const at = this.#at;
    slab[at] = length >>> 16;
    slab[at + 1] = length >>> 8;
    slab[at + 2] = length;
    slab[at + 3] = type;
    slab[at + 4] = flags;
    slab[at + 5] = streamId >>> 24;
    slab[at + 6] = streamId >>> 16;
    slab[at + 7] = streamId >>> 8;
    slab[at + 8] = streamId;
    this.#at = at + frameHeaderBytes;
    if (!this.#isHeld && !this.#isFlushPlanned) this.#planFlush();
  }

  /** Payload of the last `frame`, which has reserved the room. */
  bytes(source: Uint8Array, start = 0, end = source.length): void {
    this.#at = copy(source, start, end, this.#slab, this.#at);
  }

  /** One DATA frame with three parts in a row: `around[0, headEnd)`, `body[start, end)`, `around[headEnd, aroundEnd)`. */
  data(
    streamId: number,
    around: Uint8Array,
    headEnd: number,
    aroundEnd: number,
    body: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.frame(FrameType.Data, 0, streamId, aroundEnd + end - start);
    const slab = this.#slab;
    let at = this.#at;
    for (let i = 0; i < headEnd; i++) slab[at++] = around[i]!;
    at = copy(body, start, end, slab, at);
    for (let i = headEnd; i < aroundEnd; i++) slab[at++] = around[i]!;
    this.#at = at;
  }

  uint8(value: number): void {
    this.#slab[this.#at++] = value;
  }

  uint16(value: number): void {
    this.#at = this.#slab.writeUInt16BE(value, this.#at);
  }

  uint32(value: number): void {
    this.#at = this.#slab.writeUInt32BE(value >>> 0, this.#at);
  }

  windowUpdate(streamId: number, increment: number): void {
    this.frame(FrameType.WindowUpdate, 0, streamId, 4);
    this.uint32(increment);
  }

  rstStream(streamId: number, code: number): void {
    this.frame(FrameType.RstStream, 0, streamId, 4);
    this.uint32(code);
  }

  flush(): void {
    if (this.#at === this.#start) return;
    const chunk = this.#slab.subarray(this.#start, this.#at);
    this.#start = this.#at;
    if (!this.#socket.destroyed) this.#socket.write(chunk);
  }

  #planFlush(): void {
    this.#isFlushPlanned = true;
    queueMicrotask(() => {
      this.#isFlushPlanned = false;
      if (!this.#isHeld) this.flush();
    });
  }

  #reserve(bytes: number): void {
    if (this.#start === this.#at) this.#beginAgain();
    if (this.#at + bytes <= this.#slabBytes) return;
    this.flush();
    if (this.#beginAgain() && bytes <= this.#slabBytes) return;
    this.#slabBytes = Math.max(slabBytes, bytes);
    this.#slab = Buffer.allocUnsafeSlow(this.#slabBytes);
    this.#start = 0;
    this.#at = 0;
  }

  /** All is written: false if the socket still holds some of it. */
  #beginAgain(): boolean {
    if (this.#socket.writableLength > 0) return false;
    this.#start = 0;
    this.#at = 0;
    return true;
  }
}

/** What was copied from last, mostly one read with many pieces: to ask an array for its memory takes a call of V8. */
const last: { source: Uint8Array | undefined; memory: ArrayBufferLike; offset: number } = {
  source: undefined,
  memory: new ArrayBuffer(0),
  offset: 0,
};

/** Looked up once: V8 does not inline the way to it through a Buffer's prototypes. */
const { set } = Uint8Array.prototype;

/** Copies `source[start, end)` to `target` at `at`; returns where it ends there. */
function copy(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  const length = end - start;
  // A view costs as much as the copy of a short text, and that of a Buffer half as much again.
  if (length <= 64) {
    for (let i = start, to = at; i < end; i++) target[to++] = source[i]!;
    return at + length;
  }
  if (source !== last.source) {
    last.source = source;
    last.memory = source.buffer;
    last.offset = source.byteOffset;
  }
  set.call(target, new Uint8Array(last.memory, last.offset + start, length), at);
  return at + length;
}
