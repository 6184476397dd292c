import { ConnectionError, ErrorCode, violation } from './http2-error.ts';

/** Streams that we have reset, for which late frames are no error: as many as can be open at once. */
const rememberedResets = 10_000;

/** Which streams of a connection have been, and how they ended: RFC 9113, section 5.1. */
export class StreamIds {
  /** The highest that the peer has opened. */
  last = 0;
  readonly #resets = new Set<number>();
  /** Resets of streams up to this id may be forgotten, so that late frames there are no error either. */
  #forgotten = 0;
  /** Ids that the peer has passed over last: these cannot be opened any more (section 5.1.1). */
  #skipped = { from: 0, to: 0 };

  opened(id: number): void {
    if (id > this.last + 2) this.#skipped = { from: this.last + 1, to: id - 1 };
    this.last = id;
  }

  /** Throws for a stream that has never been opened, for 0, and for those that only a server may open. */
  checkOpened(id: number, frame: string): void {
    if (id === 0 || id > this.last || id % 2 === 0)
      throw violation(`${frame} on an open stream`, `stream ${id}`);
  }

  /** Frames that the peer sent before it knew of our reset are ignored; others on a gone stream are an error. */
  checkLate(id: number, frame: string): void {
    if (id <= this.#forgotten || this.#resets.has(id)) return;
    if (frame === 'HEADERS' && id >= this.#skipped.from && id <= this.#skipped.to)
      throw violation('a new stream', `stream ${id} after ${this.last}`);
    throw new ConnectionError(
      ErrorCode.StreamClosed,
      `Expected no ${frame} on a closed stream, found one on stream ${id}.`,
    );
  }

  /** We have reset this one. */
  reset(id: number): void {
    this.#resets.add(id);
    if (this.#resets.size <= rememberedResets) return;
    const oldest = this.#resets.values().next().value!;
    this.#resets.delete(oldest);
    this.#forgotten = Math.max(this.#forgotten, oldest);
  }
}
