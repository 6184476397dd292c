import { Flag, FrameType, frameHeaderBytes, maxFrameBytes, preface } from './frame.ts';
import { ConnectionError, ErrorCode, frameSize, violation } from './http2-error.ts';
import type { Http2Stream } from './http2-stream.ts';

/** What is done with what has been read. All may throw a `ConnectionError`. */
export interface FrameSink {
  readonly isClosed: boolean;
  /**
   * A DATA frame begins; the stream returned, if any, is told of its bytes as they come. `length` is with padding, as
   * flow control counts it; `overhead` are the bytes of padding, their length included.
   */
  onData(id: number, length: number, overhead: number, endsStream: boolean): Http2Stream | undefined;
  /** A whole header block, without padding; `flags` are those of the HEADERS frame that it began with. */
  onHeaderBlock(flags: number, id: number, bytes: Buffer, start: number, end: number): void;
  /** Any other frame, whole. */
  onFrame(type: number, flags: number, id: number, bytes: Buffer, at: number, length: number): void;
  /** A frame that carries nothing; a peer may send only so many. */
  spendControl(): void;
}

const empty = Buffer.alloc(0);

/** Of a DATA frame: what is still to come. */
interface OpenData {
  isOpen: boolean;
  stream: Http2Stream | undefined;
  left: number;
  padding: number;
  endsStream: boolean;
}

/**
 * Cuts a client's bytes into frames (RFC 9113, section 4.1), wherever they were cut before. DATA is handed on in
 * views as it comes; header blocks are put together; every other frame waits until it is whole.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #maxHeaderBlockBytes: number;
  #rest: Buffer = empty;
  #hasPreface = false;
  #hasSettings = false;
  /** The DATA frame that is being read: one object for all, as there are many. */
  readonly #data: OpenData = { isOpen: false, stream: undefined, left: 0, padding: 0, endsStream: false };
  /** A header block whose CONTINUATION is still to come. */
  #headers: { id: number; flags: number; parts: Buffer[]; bytes: number } | undefined;

  constructor(sink: FrameSink, maxHeaderBlockBytes: number) {
    this.#sink = sink;
    this.#maxHeaderBlockBytes = maxHeaderBlockBytes;
  }

  /** The peer has sent the preface and its first SETTINGS (section 3.4). */
  get hasSettings(): boolean {
    return this.#hasSettings;
  }

  read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = empty;
    const taken = this.#frames(bytes);
    if (taken < bytes.length && !this.#sink.isClosed) this.#rest = bytes.subarray(taken);
  }

  /** Forgets what is not whole. */
  close(): void {
    this.#rest = empty;
  }

  /** Handles all that is whole; returns how many bytes that was. */
  #frames(bytes: Buffer): number {
    let at = 0;
    if (!this.#hasPreface) {
      const length = Math.min(preface.length, bytes.length);
      if (bytes.compare(preface, 0, length, 0, length) !== 0)
        throw violation('the preface of HTTP/2', 'other bytes');
      if (length < preface.length) return 0;
      this.#hasPreface = true;
      at = preface.length;
    }
    while (!this.#sink.isClosed) {
      if (this.#data.isOpen) {
        at = this.#continueData(bytes, at);
        if (this.#data.isOpen) return at;
      }
      if (bytes.length - at < frameHeaderBytes) return at;
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (length > maxFrameBytes) throw frameSize(`a frame of at most ${maxFrameBytes} bytes`, length);
      const type = bytes[at + 3]!;
      const isPaddedData = type === FrameType.Data && (bytes[at + 4]! & Flag.Padded) !== 0;
      const whole = type === FrameType.Data ? Math.min(length, isPaddedData ? 1 : 0) : length;
      if (bytes.length - at < frameHeaderBytes + whole) return at;
      const flags = bytes[at + 4]!;
      const id =
        ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
      at += frameHeaderBytes;
      if (type === FrameType.Data && !isPaddedData && length <= bytes.length - at && this.#mayCome) {
        this.#wholeData(flags, id, bytes, at, length);
        at += length;
        continue;
      }
      this.#frame(type, flags, id, bytes, at, length);
      at += whole;
    }
    return at;
  }

  #frame(type: number, flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (!this.#hasSettings) {
      if (type !== FrameType.Settings || flags & Flag.Ack)
        throw violation('SETTINGS first', `frame type ${type}`);
      this.#hasSettings = true;
    }
    if (this.#headers !== undefined && (type !== FrameType.Continuation || id !== this.#headers.id))
      throw violation(`CONTINUATION of stream ${this.#headers.id}`, `frame type ${type} of stream ${id}`);
    switch (type) {
      case FrameType.Data:
        this.#onData(flags, id, bytes, at, length);
        return;
      case FrameType.Headers:
        this.#onHeaders(flags, id, bytes, at, length);
        return;
      case FrameType.Continuation:
        this.#onContinuation(flags, id, bytes.subarray(at, at + length));
        return;
      default:
        this.#sink.onFrame(type, flags, id, bytes, at, length);
    }
  }

  /** DATA is nothing to be surprised at. */
  get #mayCome(): boolean {
    return this.#hasSettings && this.#headers === undefined;
  }

  /** DATA without padding that lies here as a whole, as nearly all does. */
  #wholeData(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    const endsStream = (flags & Flag.EndStream) !== 0;
    const stream = this.#sink.onData(id, length, 0, endsStream);
    if (stream === undefined) return;
    if (length > 0 && !stream.isClosed) stream.handler?.onData(bytes, at, at + length);
    if (endsStream && !stream.isClosed) stream.handler?.onEnd();
  }

  #onData(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    const isPadded = (flags & Flag.Padded) !== 0;
    const padding = isPadded ? (bytes[at] ?? 0) : 0;
    const overhead = isPadded ? 1 + padding : 0;
    if (overhead > length) throw violation('padding shorter than its frame', `${padding} of ${length} bytes`);
    const endsStream = (flags & Flag.EndStream) !== 0;
    const data = this.#data;
    data.stream = this.#sink.onData(id, length, overhead, endsStream);
    data.left = length - overhead;
    data.padding = padding;
    data.endsStream = endsStream;
    data.isOpen = true;
  }

  /** Hands on what has come of a DATA frame; returns where the rest of the bytes begins. */
  #continueData(bytes: Buffer, start: number): number {
    const data = this.#data;
    const { stream } = data;
    const end = Math.min(bytes.length, start + data.left);
    if (end > start && stream?.isClosed === false) stream.handler?.onData(bytes, start, end);
    data.left -= end - start;
    const padded = Math.min(bytes.length - end, data.left === 0 ? data.padding : 0);
    data.padding -= padded;
    if (data.left === 0 && data.padding === 0) {
      data.isOpen = false;
      data.stream = undefined;
      if (data.endsStream && stream?.isClosed === false) stream.handler?.onEnd();
    }
    return end + padded;
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (id % 2 === 0) throw violation('HEADERS on an odd stream', `stream ${id}`);
    let start = at;
    let end = at + length;
    if (flags & Flag.Padded) {
      if (length < 1) throw frameSize('HEADERS with a padding length', length);
      end -= bytes[start]!;
      start++;
    }
    if (flags & Flag.Priority) {
      if (end - start < 5) throw frameSize('HEADERS with a priority', length);
      if ((bytes.readUInt32BE(start) & 0x7fff_ffff) === id)
        throw violation('another parent', `stream ${id} itself`);
      start += 5;
    }
    if (start > end) throw violation('padding shorter than its frame', 'more');
    if (flags & Flag.EndHeaders) {
      this.#checkBlock(end - start);
      this.#sink.onHeaderBlock(flags, id, bytes, start, end);
      return;
    }
    this.#headers = { id, flags, parts: [], bytes: 0 };
    this.#onContinuation(flags, id, bytes.subarray(start, end));
  }

  #onContinuation(flags: number, id: number, fragment: Buffer): void {
    const headers = this.#headers;
    if (headers === undefined) throw violation('HEADERS before CONTINUATION', `CONTINUATION of stream ${id}`);
    headers.parts.push(fragment);
    headers.bytes += fragment.length;
    if (headers.parts.length > 1) this.#sink.spendControl();
    this.#checkBlock(headers.bytes);
    if (!(flags & Flag.EndHeaders)) return;
    this.#headers = undefined;
    const block = Buffer.concat(headers.parts);
    this.#sink.onHeaderBlock(headers.flags, id, block, 0, block.length);
  }

  #checkBlock(bytes: number): void {
    if (bytes > this.#maxHeaderBlockBytes)
      throw new ConnectionError(ErrorCode.EnhanceYourCalm, 'A header block passes the limit.');
  }
}
