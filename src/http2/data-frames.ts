import { FrameType, maxFrameBytes } from './frame.ts';
import type { Output } from './output.ts';

/** Cuts what is put into it into DATA frames of one stream. One serves all streams: it is filled within one call. */
export class DataFrames {
  #output: Output | undefined;
  #streamId = 0;
  /** Bytes that are still to be put, and how many of them the present frame takes. */
  #left = 0;
  #room = 0;

  /** `length`: of all that will be put, and that the windows have been asked for. */
  begin(output: Output, streamId: number, length: number): void {
    this.#output = output;
    this.#streamId = streamId;
    this.#left = length;
    this.#room = 0;
  }

  put(bytes: Uint8Array, start: number, end: number): void {
    const output = this.#output!;
    for (let at = start; at < end; ) {
      if (this.#room === 0) {
        this.#room = Math.min(this.#left, maxFrameBytes);
        output.frame(FrameType.Data, 0, this.#streamId, this.#room);
      }
      const length = Math.min(this.#room, end - at);
      output.bytes(bytes, at, at + length);
      this.#room -= length;
      this.#left -= length;
      at += length;
    }
  }
}
