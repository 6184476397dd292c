import type { Duplex } from 'node:stream';
import { Budget } from './budget.ts';
import {
  Flag,
  FrameType,
  frameHeaderBytes,
  initialWindow,
  maxFrameBytes,
  maxWindow,
  preface,
  Setting,
} from './frame.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { ConnectionError, ErrorCode, type ErrorCodeValue } from './http2-error.ts';
import { Http2Stream, type StreamHandler, type StreamHost } from './http2-stream.ts';
import type { Http2Limits } from './limits.ts';
import { Output } from './output.ts';
import { RepeatedHead } from './repeated-head.ts';
import { areTrailersValid, type RequestHead, requestHead } from './request-head.ts';

export interface ConnectionOptions {
  /** A TCP or TLS socket; owned from here on. */
  readonly socket: Duplex;
  readonly limits: Http2Limits;
  readonly clock: () => number;
  /** A new request. The handler is told of its body; undefined if the stream was answered at once. */
  readonly onRequest: (stream: Http2Stream, head: RequestHead) => StreamHandler | undefined;
  readonly onClose: (error: ConnectionError | undefined) => void;
}

/** Streams that we have reset, for which late frames are no error: as many as can be open at once. */
const rememberedResets = 10_000;
/** How long a peer that broke the protocol may take to close its side when we have closed ours. */
const lingerMs = 2000;
/** Time in which a peer that does not answer our PING has surely read what stood before it. */
const roundTripMs = 1000;
const maxStreamId = 0x7fff_ffff;
/** Last byte of the payload of our PINGs. */
const PingPurpose = { Keepalive: 0, Drain: 1 } as const;
const empty = Buffer.alloc(0);

/**
 * The server's side of one HTTP/2 connection with prior knowledge (RFC 9113), as much as gRPC needs: no push,
 * no priorities. Reads frames as they come, hands DATA on in views, and writes once per read.
 */
export class Http2Connection implements StreamHost {
  readonly output: Output;
  sendWindow = initialWindow;
  readonly #options: ConnectionOptions;
  readonly #decoder: HpackDecoder;
  readonly #repeated = new RepeatedHead();
  readonly #streams = new Map<number, Http2Stream>();
  readonly #waiting = new Set<Http2Stream>();
  readonly #resets = new Set<number>();
  /** Resets of streams up to this id may be forgotten, so that late frames there are no error either. */
  #forgottenId = 0;
  readonly #controls: Budget;
  readonly #peerResets: Budget;
  #rest: Buffer = empty;
  #hasPreface = false;
  #hasSettings = false;
  /** A DATA frame of which a part is still to come. */
  #data: { stream: Http2Stream | undefined; left: number; padding: number; endsStream: boolean } | undefined;
  /** A header block whose CONTINUATION is still to come. */
  #headers: { id: number; flags: number; parts: Buffer[]; bytes: number } | undefined;
  #peerInitialWindow = initialWindow;
  #receiveWindow: number;
  #ungranted = 0;
  #lastId = 0;
  /** Ids that the peer has passed over last: these cannot be opened any more (section 5.1.1). */
  #skipped = { from: 0, to: 0 };
  /** When we have told the peer that we will go. */
  #toldAtMs: number | undefined;
  #isDraining = false;
  #isClosed = false;
  #readAtMs: number;
  #pingAtMs: number | undefined;
  #idleSinceMs: number;
  /** Bytes of all streams that wait for a window. */
  #heldBytes = 0;
  /** When a socket that we have ended is cut. */
  #cutAtMs = Number.POSITIVE_INFINITY;

  constructor(options: ConnectionOptions) {
    const { socket, limits, clock } = options;
    this.#options = options;
    this.output = new Output(socket, limits);
    this.#decoder = new HpackDecoder({
      maxTableBytes: limits.hpackTableBytes,
      maxListBytes: limits.maxHeaderListBytes,
    });
    this.#controls = new Budget({ burst: limits.controlBurst, perSecond: limits.controlPerSecond, clock });
    this.#peerResets = new Budget({ burst: limits.resetBurst, perSecond: limits.resetsPerSecond, clock });
    this.#receiveWindow = limits.connectionWindowBytes;
    this.#readAtMs = clock();
    this.#idleSinceMs = clock();
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      socket.resume();
      this.#pumpWaiting();
    });
    socket.on('error', () => this.#end(undefined));
    socket.on('close', () => this.#end(undefined));
    this.#greet();
  }

  get isCongested(): boolean {
    return this.output.isCongested;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  hold(bytes: number): boolean {
    if (this.#heldBytes + bytes > this.#options.limits.maxHeldBytes) return false;
    this.#heldBytes += bytes;
    return true;
  }

  letGo(bytes: number): void {
    this.#heldBytes -= bytes;
  }

  takeWindow(bytes: number): void {
    this.sendWindow -= bytes;
  }

  wait(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  remove(stream: Http2Stream, how: 'finished' | 'reset'): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    if (how === 'reset') this.#rememberReset(stream.id);
    this.#onStreamGone();
  }

  /**
   * Lets streams finish and takes no new ones; the connection ends with the last of them. The peer is told
   * first, and refused only when it must know, so that no stream is lost on the way (section 6.8).
   */
  drain(): void {
    if (this.#isDraining || this.#isClosed || this.#toldAtMs !== undefined) return;
    if (!this.#hasSettings) {
      this.#refuseStreams();
      return;
    }
    this.#toldAtMs = this.#options.clock();
    this.#goaway(ErrorCode.NoError, maxStreamId);
    this.#ping(PingPurpose.Drain);
  }

  /** Cuts everything. */
  destroy(): void {
    this.#end(undefined);
    this.#options.socket.destroy();
  }

  /** Called about once a second: time limits of the preface, of silence, and of idleness. */
  tick(nowMs: number): void {
    const { limits, socket } = this.#options;
    if (this.#isClosed) {
      if (nowMs > this.#cutAtMs) socket.destroy();
      return;
    }
    if (this.#toldAtMs !== undefined && nowMs - this.#toldAtMs > roundTripMs) this.#refuseStreams();
    const silenceMs = nowMs - this.#readAtMs;
    if (!this.#hasSettings) {
      if (nowMs - this.#idleSinceMs > limits.prefaceTimeoutMs) this.#fail(timeout('the connection preface'));
    } else if (this.#streams.size === 0 && nowMs - this.#idleSinceMs > limits.idleTimeoutMs) {
      this.drain();
    } else if (this.#pingAtMs !== undefined) {
      if (nowMs - this.#pingAtMs > limits.keepaliveTimeoutMs) this.destroy();
    } else if (silenceMs > limits.keepaliveMs) {
      this.#pingAtMs = nowMs;
      this.#ping(PingPurpose.Keepalive);
    }
  }

  #ping(purpose: number): void {
    this.output.frame(FrameType.Ping, 0, 0, 8);
    this.output.uint32(0);
    this.output.uint32(purpose);
  }

  #refuseStreams(): void {
    if (this.#isDraining || this.#isClosed) return;
    this.#isDraining = true;
    this.#goaway(ErrorCode.NoError);
    this.#onStreamGone();
  }

  #greet(): void {
    const { limits } = this.#options;
    const settings = [
      [Setting.HeaderTableSize, limits.hpackTableBytes],
      [Setting.MaxConcurrentStreams, limits.maxConcurrentStreams],
      [Setting.InitialWindowSize, limits.streamWindowBytes],
      [Setting.MaxHeaderListSize, limits.maxHeaderListBytes],
    ] as const;
    this.output.frame(FrameType.Settings, 0, 0, settings.length * 6);
    for (const [id, value] of settings) {
      this.output.uint16(id);
      this.output.uint32(value);
    }
    this.output.windowUpdate(0, limits.connectionWindowBytes - initialWindow);
  }

  #read(chunk: Buffer): void {
    if (this.#isClosed) return;
    this.#readAtMs = this.#options.clock();
    this.#pingAtMs = undefined;
    this.output.hold();
    try {
      const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      this.#rest = empty;
      const taken = this.#frames(bytes);
      if (taken < bytes.length && !this.#isClosed) this.#rest = bytes.subarray(taken);
    } catch (error) {
      this.#fail(
        error instanceof ConnectionError
          ? error
          : new ConnectionError(ErrorCode.InternalError, `A stream failed: ${String(error)}`),
      );
    } finally {
      this.output.release();
    }
    // What we read makes what we send: a peer that does not read is not read from.
    if (this.output.isOverfull && !this.#isClosed) this.#options.socket.pause();
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
    while (!this.#isClosed) {
      if (this.#data !== undefined) {
        at = this.#continueData(bytes, at);
        if (this.#data !== undefined) return at;
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
    if (this.#headers !== undefined && (type !== FrameType.Continuation || id !== this.#headers.id)) {
      throw violation(`CONTINUATION of stream ${this.#headers.id}`, `frame type ${type} of stream ${id}`);
    }
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
      case FrameType.Priority:
        this.#onPriority(id, bytes, at, length);
        return;
      case FrameType.RstStream:
        this.#onRstStream(id, length);
        return;
      case FrameType.Settings:
        this.#onSettings(flags, id, bytes, at, length);
        return;
      case FrameType.PushPromise:
        throw violation('no PUSH_PROMISE from a client', 'one');
      case FrameType.Ping:
        this.#onPing(flags, id, bytes, at, length);
        return;
      case FrameType.Goaway:
        if (id !== 0) throw violation('GOAWAY on stream 0', `stream ${id}`);
        if (length < 8) throw frameSize('GOAWAY of at least 8 bytes', length);
        this.#isDraining = true;
        this.#onStreamGone();
        return;
      case FrameType.WindowUpdate:
        this.#onWindowUpdate(id, bytes, at, length);
        return;
      default:
        // Section 4.1: unknown types are ignored.
        this.#spendControl();
    }
  }

  #onData(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (id === 0) throw violation('DATA on a stream', 'stream 0');
    if (id > this.#lastId || id % 2 === 0) throw violation('DATA on an open stream', `idle stream ${id}`);
    const padding = flags & Flag.Padded ? (bytes[at] ?? 0) : 0;
    const overhead = flags & Flag.Padded ? 1 + padding : 0;
    if (overhead > length || (flags & Flag.Padded && length === 0)) {
      throw violation('padding shorter than its frame', `${padding} of ${length} bytes`);
    }
    this.#countReceived(length);
    const stream = this.#streams.get(id);
    const endsStream = (flags & Flag.EndStream) !== 0;
    if (length === overhead && !endsStream) this.#spendControl();
    if (stream === undefined) {
      if (!this.#mayBeLate(id)) throw new ConnectionError(ErrorCode.StreamClosed, closedMessage('DATA', id));
    } else if (stream.isRemoteEnded) {
      this.#resetStream(stream, ErrorCode.StreamClosed);
    } else if (length > stream.receiveWindow) {
      this.#resetStream(stream, ErrorCode.FlowControlError);
    } else {
      if (endsStream) stream.isRemoteEnded = true;
      stream.onReceived(length, this.#options.limits.streamWindowBytes);
      if (stream.bodyLeft !== undefined) {
        stream.bodyLeft -= length - overhead;
        if (stream.bodyLeft < 0 || (endsStream && stream.bodyLeft !== 0)) {
          this.#resetStream(stream, ErrorCode.ProtocolError);
        }
      }
    }
    const target = stream === undefined || stream.isClosed ? undefined : stream;
    this.#data = { stream: target, left: length - overhead, padding, endsStream };
  }

  /** Hands on what has come of a DATA frame; returns where the rest of the bytes begins. */
  #continueData(bytes: Buffer, start: number): number {
    const data = this.#data!;
    const end = Math.min(bytes.length, start + data.left);
    if (end > start && data.stream?.isClosed === false) data.stream.handler?.onData(bytes, start, end);
    data.left -= end - start;
    const padded = Math.min(bytes.length - end, data.left === 0 ? data.padding : 0);
    data.padding -= padded;
    if (data.left === 0 && data.padding === 0) {
      this.#data = undefined;
      if (data.endsStream && data.stream?.isClosed === false) data.stream.handler?.onEnd();
    }
    return end + padded;
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (id === 0 || id % 2 === 0) throw violation('HEADERS on an odd stream', `stream ${id}`);
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
      this.#onBlock(flags, id, bytes, start, end);
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
    if (headers.parts.length > 1) this.#spendControl();
    this.#checkBlock(headers.bytes);
    if (!(flags & Flag.EndHeaders)) return;
    this.#headers = undefined;
    const block = Buffer.concat(headers.parts);
    this.#onBlock(headers.flags, id, block, 0, block.length);
  }

  #checkBlock(bytes: number): void {
    if (bytes > this.#options.limits.maxHeaderBlockBytes) {
      throw new ConnectionError(ErrorCode.EnhanceYourCalm, 'A header block passes the limit.');
    }
  }

  /** `flags` of the HEADERS frame that the block began with. */
  #onBlock(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    const endsStream = (flags & Flag.EndStream) !== 0;
    const tableVersion = this.#decoder.tableVersion;
    const known = id > this.#lastId ? this.#repeated.find(bytes, start, end, tableVersion) : undefined;
    if (known !== undefined) {
      this.#open(id, known, endsStream);
      return;
    }
    const fields = this.#decoder.decode(bytes, start, end);
    if (id <= this.#lastId) {
      this.#onTrailers(id, endsStream && areTrailersValid(fields));
      return;
    }
    const head = requestHead(fields);
    if (head !== undefined && this.#decoder.tableVersion === tableVersion)
      this.#repeated.keep(bytes, start, end, tableVersion, head);
    this.#open(id, head, endsStream);
  }

  #onTrailers(id: number, isValid: boolean): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      if (this.#mayBeLate(id)) return;
      if (id >= this.#skipped.from && id <= this.#skipped.to)
        throw violation('a new stream', `stream ${id} after ${this.#lastId}`);
      throw new ConnectionError(ErrorCode.StreamClosed, closedMessage('HEADERS', id));
    }
    if (stream.isRemoteEnded) this.#resetStream(stream, ErrorCode.StreamClosed);
    else if (!isValid || (stream.bodyLeft ?? 0) !== 0) this.#resetStream(stream, ErrorCode.ProtocolError);
    else {
      stream.isRemoteEnded = true;
      stream.handler?.onEnd();
    }
  }

  #open(id: number, head: RequestHead | undefined, endsStream: boolean): void {
    if (id > this.#lastId + 2) this.#skipped = { from: this.#lastId + 1, to: id - 1 };
    this.#lastId = id;
    // After GOAWAY, streams with higher ids are ignored; the peer opens them elsewhere (section 6.8).
    if (this.#isDraining) {
      this.#refuse(id, ErrorCode.RefusedStream);
      return;
    }
    if (this.#streams.size >= this.#options.limits.maxConcurrentStreams) {
      this.#spendControl();
      this.#refuse(id, ErrorCode.RefusedStream);
      return;
    }
    if (head === undefined || (endsStream && (head.contentLength ?? 0) !== 0)) {
      this.#spendControl();
      this.#refuse(id, ErrorCode.ProtocolError);
      return;
    }
    const stream = new Http2Stream(this, {
      id,
      sendWindow: this.#peerInitialWindow,
      receiveWindow: this.#options.limits.streamWindowBytes,
    });
    stream.isRemoteEnded = endsStream;
    stream.bodyLeft = head.contentLength;
    this.#streams.set(id, stream);
    const handler = this.#options.onRequest(stream, head);
    stream.handler = handler;
    if (endsStream && !stream.isClosed) handler?.onEnd();
  }

  #refuse(id: number, code: ErrorCodeValue): void {
    this.output.rstStream(id, code);
    this.#rememberReset(id);
  }

  #rememberReset(id: number): void {
    this.#resets.add(id);
    if (this.#resets.size <= rememberedResets) return;
    const oldest = this.#resets.values().next().value!;
    this.#resets.delete(oldest);
    this.#forgottenId = Math.max(this.#forgottenId, oldest);
  }

  /** Section 5.1: frames that the peer sent before it knew of our reset are ignored. */
  #mayBeLate(id: number): boolean {
    return id <= this.#forgottenId || this.#resets.has(id);
  }

  #onPriority(id: number, bytes: Buffer, at: number, length: number): void {
    if (id === 0) throw violation('PRIORITY on a stream', 'stream 0');
    this.#spendControl();
    if (length !== 5) throw frameSize('PRIORITY of 5 bytes', length);
    if ((bytes.readUInt32BE(at) & 0x7fff_ffff) === id)
      throw violation('another parent', `stream ${id} itself`);
  }

  #onRstStream(id: number, length: number): void {
    if (length !== 4) throw frameSize('RST_STREAM of 4 bytes', length);
    if (id === 0 || id > this.#lastId || id % 2 === 0)
      throw violation('RST_STREAM on an open stream', `stream ${id}`);
    const stream = this.#streams.get(id);
    // A stream that was answered has cost the peer something; opening and resetting costs it nothing.
    if (stream?.hasSentHeaders !== true && !this.#peerResets.spend()) throw tooMuch('resets');
    if (stream === undefined) return;
    this.#streams.delete(id);
    this.#waiting.delete(stream);
    stream.onGone();
    this.#onStreamGone();
  }

  #onSettings(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (id !== 0) throw violation('SETTINGS on stream 0', `stream ${id}`);
    if (flags & Flag.Ack) {
      if (length !== 0) throw frameSize('an empty acknowledgement of SETTINGS', length);
      return;
    }
    if (length % 6 !== 0) throw frameSize('SETTINGS in multiples of 6 bytes', length);
    this.#spendControl();
    for (let place = at; place < at + length; place += 6) {
      const value = bytes.readUInt32BE(place + 2);
      switch (bytes.readUInt16BE(place)) {
        case Setting.EnablePush:
          if (value > 1) throw violation('ENABLE_PUSH of 0 or 1', String(value));
          break;
        case Setting.InitialWindowSize:
          this.#setInitialWindow(value);
          break;
        case Setting.MaxFrameSize:
          if (value < maxFrameBytes || value > 0xff_ffff)
            throw violation('MAX_FRAME_SIZE in its range', String(value));
          break;
        default:
      }
    }
    this.output.frame(FrameType.Settings, Flag.Ack, 0, 0);
  }

  #setInitialWindow(value: number): void {
    if (value > maxWindow) {
      throw new ConnectionError(ErrorCode.FlowControlError, `INITIAL_WINDOW_SIZE ${value} passes 2^31 - 1.`);
    }
    const change = value - this.#peerInitialWindow;
    this.#peerInitialWindow = value;
    for (const stream of this.#streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > maxWindow) {
        throw new ConnectionError(ErrorCode.FlowControlError, 'A stream window passes 2^31 - 1.');
      }
    }
    if (change > 0) this.#pumpWaiting();
  }

  #onPing(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (id !== 0) throw violation('PING on stream 0', `stream ${id}`);
    if (length !== 8) throw frameSize('PING of 8 bytes', length);
    if (flags & Flag.Ack) {
      if (this.#toldAtMs !== undefined && bytes.readUInt32BE(at + 4) === PingPurpose.Drain)
        this.#refuseStreams();
      return;
    }
    this.#spendControl();
    this.output.frame(FrameType.Ping, Flag.Ack, 0, 8);
    this.output.bytes(bytes, at, at + 8);
  }

  #onWindowUpdate(id: number, bytes: Buffer, at: number, length: number): void {
    if (length !== 4) throw frameSize('WINDOW_UPDATE of 4 bytes', length);
    const increment = bytes.readUInt32BE(at) & 0x7fff_ffff;
    if (id === 0) {
      if (increment === 0) throw violation('a window increment', '0');
      this.sendWindow += increment;
      if (this.sendWindow > maxWindow) {
        throw new ConnectionError(ErrorCode.FlowControlError, "The connection's window passes 2^31 - 1.");
      }
      this.#pumpWaiting();
      return;
    }
    if (id > this.#lastId || id % 2 === 0) throw violation('WINDOW_UPDATE on an open stream', `stream ${id}`);
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (increment === 0) this.#resetStream(stream, ErrorCode.ProtocolError);
    else if (stream.sendWindow > maxWindow) this.#resetStream(stream, ErrorCode.FlowControlError);
    else if (this.#waiting.delete(stream)) stream.pump();
  }

  #countReceived(bytes: number): void {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) {
      throw new ConnectionError(ErrorCode.FlowControlError, "DATA passes the connection's window.");
    }
    this.#ungranted += bytes;
    if (this.#ungranted < this.#options.limits.connectionWindowBytes / 2) return;
    this.output.windowUpdate(0, this.#ungranted);
    this.#receiveWindow += this.#ungranted;
    this.#ungranted = 0;
  }

  #resetStream(stream: Http2Stream, code: ErrorCodeValue): void {
    this.#spendControl();
    const { handler } = stream;
    stream.reset(code);
    handler?.onGone();
  }

  #spendControl(): void {
    if (!this.#controls.spend()) throw tooMuch('frames that carry nothing');
  }

  #pumpWaiting(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const stream of waiting) if (!stream.isClosed) stream.pump();
  }

  #onStreamGone(): void {
    if (this.#streams.size > 0) return;
    this.#idleSinceMs = this.#options.clock();
    if (!this.#isDraining || this.#isClosed) return;
    this.output.flush();
    this.#end(undefined);
    // The last answers may still be on their way to a slow reader.
    this.#hangUp(this.#options.limits.keepaliveTimeoutMs);
  }

  #goaway(code: ErrorCodeValue, lastId = this.#lastId): void {
    this.output.frame(FrameType.Goaway, 0, 0, 8);
    this.output.uint32(lastId);
    this.output.uint32(code);
  }

  #fail(error: ConnectionError): void {
    if (this.#isClosed) return;
    this.#goaway(error.code);
    this.output.flush();
    this.#end(error);
    this.#hangUp(lingerMs);
  }

  /** Closes our side; a peer that does not close its own is cut by `tick`. */
  #hangUp(patienceMs: number): void {
    this.#cutAtMs = this.#options.clock() + patienceMs;
    this.#options.socket.resume();
    this.#options.socket.end();
  }

  #end(error: ConnectionError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rest = empty;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#waiting.clear();
    for (const stream of streams) stream.onGone();
    this.#options.onClose(error);
  }
}

function violation(expected: string, found: string): ConnectionError {
  return new ConnectionError(ErrorCode.ProtocolError, `Expected ${expected}, found ${found}.`);
}

function frameSize(expected: string, length: number): ConnectionError {
  return new ConnectionError(ErrorCode.FrameSizeError, `Expected ${expected}, found ${length} bytes.`);
}

function timeout(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.SettingsTimeout, `Expected ${what} in time, found none.`);
}

function tooMuch(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.EnhanceYourCalm, `The peer sends too many ${what}.`);
}

function closedMessage(frame: string, id: number): string {
  return `Expected no ${frame} on a closed stream, found one on stream ${id}.`;
}
