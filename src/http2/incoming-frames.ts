import { AbuseLimits } from './abuse-limits.ts';
import { checkGoaway, checkPing, checkPriority, windowIncrement } from './control-frames.ts';
import { Flag, FrameType, maxWindow } from './frame.ts';
import type { FrameSink } from './frame-reader.ts';
import { type HeaderField, HpackDecoder } from './hpack-decoder.ts';
import { ErrorCode, type ErrorCodeValue, frameSize, violation } from './http2-error.ts';
import { Http2Stream, type StreamHandler, type StreamHost } from './http2-stream.ts';
import type { Http2Limits } from './limits.ts';
import { longHeadAnswer } from './long-head.ts';
import type { OpenStreams } from './open-streams.ts';
import type { Output } from './output.ts';
import { ReceiveWindow } from './receive-window.ts';
import { RepeatedHead } from './repeated-head.ts';
import { areTrailersValid, type RequestHead, requestHead } from './request-head.ts';
import { readSettings } from './settings.ts';
import type { StreamIds } from './stream-ids.ts';

/** The connection, as far as its frames are about it. */
export interface FrameHost extends StreamHost {
  readonly isClosed: boolean;
  /** New streams are refused. */
  readonly isDraining: boolean;
  /** A new request; undefined if the stream was answered at once. */
  onRequest(stream: Http2Stream, head: RequestHead): StreamHandler | undefined;
  /** The peer opens no more streams. */
  onGoaway(): void;
  /** `purpose`: the last half of the payload of our PING. */
  onPingAcknowledged(purpose: number): void;
  onStreamGone(): void;
  /** The peer lets us send so many bytes more on the connection. Throws if that is more than can be. */
  openWindow(bytes: number): void;
}

export interface IncomingFramesOptions {
  readonly host: FrameHost;
  readonly limits: Http2Limits;
  readonly clock: () => number;
  readonly streams: OpenStreams;
  readonly ids: StreamIds;
}

/** What the peer's frames mean for streams and windows, and whether they may come (RFC 9113, sections 5 and 6). */
export class IncomingFrames implements FrameSink {
  readonly #host: FrameHost;
  readonly #limits: Http2Limits;
  readonly #output: Output;
  readonly #streams: OpenStreams;
  readonly #ids: StreamIds;
  readonly #decoder: HpackDecoder;
  readonly #repeated = new RepeatedHead();
  readonly #abuse: AbuseLimits;
  readonly #receiveWindow: ReceiveWindow;

  constructor({ host, limits, clock, streams, ids }: IncomingFramesOptions) {
    this.#host = host;
    this.#limits = limits;
    this.#output = host.output;
    this.#streams = streams;
    this.#ids = ids;
    this.#decoder = new HpackDecoder({
      maxTableBytes: limits.hpackTableBytes,
      maxListBytes: limits.maxHeaderListBytes,
    });
    this.#abuse = new AbuseLimits(limits, clock);
    this.#receiveWindow = new ReceiveWindow(limits.connectionWindowBytes);
  }

  get isClosed(): boolean {
    return this.#host.isClosed;
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    switch (type) {
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
        checkGoaway(id, length);
        this.#host.onGoaway();
        return;
      case FrameType.WindowUpdate:
        this.#onWindowUpdate(id, bytes, at, length);
        return;
      default:
        // Section 4.1: unknown types are ignored.
        this.spendControl();
    }
  }

  onData(id: number, length: number, overhead: number, endsStream: boolean): Http2Stream | undefined {
    this.#ids.checkOpened(id, 'DATA');
    const granted = this.#receiveWindow.receive(length);
    if (granted > 0) this.#output.windowUpdate(0, granted);
    if (length === overhead && !endsStream) this.spendControl();
    const stream = this.#streams.find(id);
    if (stream === undefined) {
      this.#ids.checkLate(id, 'DATA');
      return undefined;
    }
    if (stream.isRemoteEnded) this.#resetStream(stream, ErrorCode.StreamClosed);
    else if (length > stream.receiveWindow) this.#resetStream(stream, ErrorCode.FlowControlError);
    else {
      if (endsStream) stream.isRemoteEnded = true;
      stream.onReceived(length, this.#limits.streamWindowBytes);
      if (stream.bodyLeft !== undefined) {
        stream.bodyLeft -= length - overhead;
        if (stream.bodyLeft < 0 || (endsStream && stream.bodyLeft !== 0))
          this.#resetStream(stream, ErrorCode.ProtocolError);
      }
    }
    return stream.isClosed ? undefined : stream;
  }

  onHeaderBlock(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    const endsStream = (flags & Flag.EndStream) !== 0;
    const tableVersion = this.#decoder.tableVersion;
    const known = id > this.#ids.last ? this.#repeated.find(bytes, start, end, tableVersion) : undefined;
    if (known !== undefined) {
      this.#open(id, known, endsStream);
      return;
    }
    const fields = this.#decoder.decode(bytes, start, end);
    if (id <= this.#ids.last) {
      this.#onTrailers(id, fields, endsStream);
      return;
    }
    if (this.#decoder.isListTooLong) {
      this.#refuseLongHead(id, fields, endsStream);
      return;
    }
    const head = requestHead(fields);
    if (head !== undefined && this.#decoder.tableVersion === tableVersion)
      this.#repeated.keep(bytes, start, end, tableVersion, head);
    this.#open(id, head, endsStream);
  }

  #refuseLongHead(id: number, fields: readonly HeaderField[], endsStream: boolean): void {
    this.#ids.opened(id);
    this.spendControl();
    if (this.#host.isDraining) this.#refuse(id, ErrorCode.RefusedStream);
    else this.#add(id, endsStream).finish(longHeadAnswer(fields, this.#limits.maxHeaderListBytes));
  }

  #onTrailers(id: number, fields: readonly HeaderField[], endsStream: boolean): void {
    const stream = this.#streams.find(id);
    if (stream === undefined) {
      this.#ids.checkLate(id, 'HEADERS');
      return;
    }
    if (stream.isRemoteEnded) this.#resetStream(stream, ErrorCode.StreamClosed);
    else if (this.#decoder.isListTooLong) this.#resetStream(stream, ErrorCode.EnhanceYourCalm);
    else if (!endsStream || !areTrailersValid(fields) || (stream.bodyLeft ?? 0) !== 0)
      this.#resetStream(stream, ErrorCode.ProtocolError);
    else {
      stream.isRemoteEnded = true;
      stream.handler?.onEnd();
    }
  }

  #open(id: number, head: RequestHead | undefined, endsStream: boolean): void {
    this.#ids.opened(id);
    // After GOAWAY, streams with higher ids are ignored; the peer opens them elsewhere (section 6.8).
    if (this.#host.isDraining) {
      this.#refuse(id, ErrorCode.RefusedStream);
      return;
    }
    if (this.#streams.size >= this.#limits.maxConcurrentStreams) {
      this.spendControl();
      this.#refuse(id, ErrorCode.RefusedStream);
      return;
    }
    if (head === undefined || (endsStream && (head.contentLength ?? 0) !== 0)) {
      this.spendControl();
      this.#refuse(id, ErrorCode.ProtocolError);
      return;
    }
    const stream = this.#add(id, endsStream);
    stream.bodyLeft = head.contentLength;
    const handler = this.#host.onRequest(stream, head);
    stream.handler = handler;
    if (endsStream && !stream.isClosed) handler?.onEnd();
  }

  #add(id: number, isRemoteEnded: boolean): Http2Stream {
    const stream = new Http2Stream(this.#host, {
      id,
      sendWindow: this.#streams.initialWindow,
      receiveWindow: this.#limits.streamWindowBytes,
    });
    stream.isRemoteEnded = isRemoteEnded;
    this.#streams.add(stream);
    return stream;
  }

  #refuse(id: number, code: ErrorCodeValue): void {
    this.#output.rstStream(id, code);
    this.#ids.reset(id);
  }

  #onPriority(id: number, bytes: Buffer, at: number, length: number): void {
    if (id === 0) throw violation('PRIORITY on a stream', 'stream 0');
    this.spendControl();
    checkPriority(id, bytes, at, length);
  }

  #onRstStream(id: number, length: number): void {
    if (length !== 4) throw frameSize('RST_STREAM of 4 bytes', length);
    this.#ids.checkOpened(id, 'RST_STREAM');
    const stream = this.#streams.find(id);
    // A stream that was answered has cost the peer something; opening and resetting costs it nothing.
    if (stream?.hasSentHeaders !== true) this.#abuse.spendReset();
    if (stream === undefined) return;
    this.#streams.remove(stream);
    stream.onGone();
    this.#host.onStreamGone();
  }

  #onSettings(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (id !== 0) throw violation('SETTINGS on stream 0', `stream ${id}`);
    if (flags & Flag.Ack) {
      if (length !== 0) throw frameSize('an empty acknowledgement of SETTINGS', length);
      return;
    }
    this.spendControl();
    readSettings(bytes, at, length, (windowBytes) => this.#streams.setInitialWindow(windowBytes));
    this.#output.frame(FrameType.Settings, Flag.Ack, 0, 0);
  }

  #onPing(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    checkPing(id, length);
    if (flags & Flag.Ack) {
      this.#host.onPingAcknowledged(bytes.readUInt32BE(at + 4));
      return;
    }
    this.spendControl();
    this.#output.frame(FrameType.Ping, Flag.Ack, 0, 8);
    this.#output.bytes(bytes, at, at + 8);
  }

  #onWindowUpdate(id: number, bytes: Buffer, at: number, length: number): void {
    const increment = windowIncrement(bytes, at, length);
    if (id === 0) {
      if (increment === 0) throw violation('a window increment', '0');
      this.#host.openWindow(increment);
      this.#streams.pumpAll();
      return;
    }
    this.#ids.checkOpened(id, 'WINDOW_UPDATE');
    const stream = this.#streams.find(id);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (increment === 0) this.#resetStream(stream, ErrorCode.ProtocolError);
    else if (stream.sendWindow > maxWindow) this.#resetStream(stream, ErrorCode.FlowControlError);
    else this.#streams.pump(stream);
  }

  #resetStream(stream: Http2Stream, code: ErrorCodeValue): void {
    this.spendControl();
    const { handler } = stream;
    stream.reset(code);
    handler?.onGone();
  }

  spendControl(): void {
    this.#abuse.spendControl();
  }
}
