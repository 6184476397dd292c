import type { Duplex } from 'node:stream';
import { Budget } from './budget.ts';
import { checkGoaway, checkPing, checkPriority, windowIncrement } from './control-frames.ts';
import { Flag, FrameType, initialWindow, maxWindow } from './frame.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { type HeaderField, HpackDecoder } from './hpack-decoder.ts';
import {
  ConnectionError,
  ErrorCode,
  type ErrorCodeValue,
  frameSize,
  tooMuch,
  violation,
} from './http2-error.ts';
import { Http2Stream, type StreamHandler, type StreamHost } from './http2-stream.ts';
import type { Http2Limits } from './limits.ts';
import { longHeadAnswer } from './long-head.ts';
import { OpenStreams, streamFailed } from './open-streams.ts';
import { Output } from './output.ts';
import { Patience } from './patience.ts';
import { ReceiveWindow } from './receive-window.ts';
import { RepeatedHead } from './repeated-head.ts';
import { areTrailersValid, type RequestHead, requestHead } from './request-head.ts';
import { readSettings, writeSettings } from './settings.ts';
import { StreamIds } from './stream-ids.ts';

export interface ConnectionOptions {
  /** A TCP or TLS socket; owned from here on. */
  readonly socket: Duplex;
  readonly limits: Http2Limits;
  readonly clock: () => number;
  /** A new request. The handler is told of its body; undefined if the stream was answered at once. */
  readonly onRequest: (stream: Http2Stream, head: RequestHead) => StreamHandler | undefined;
  readonly onClose: (error: ConnectionError | undefined) => void;
}

/** How long a peer that broke the protocol may take to close its side when we have closed ours. */
const lingerMs = 2000;
const maxStreamId = 0x7fff_ffff;
/** Last byte of the payload of our PINGs. */
const PingPurpose = { Keepalive: 0, Drain: 1 } as const;

/**
 * The server's side of one HTTP/2 connection with prior knowledge (RFC 9113), as much as gRPC needs: no push,
 * no priorities. What frames mean for streams and windows; writes once per read.
 */
export class Http2Connection implements StreamHost, FrameSink {
  readonly output: Output;
  sendWindow = initialWindow;
  readonly #options: ConnectionOptions;
  readonly #decoder: HpackDecoder;
  readonly #repeated = new RepeatedHead();
  readonly #streams = new OpenStreams();
  readonly #reader: FrameReader;
  readonly #ids = new StreamIds();
  readonly #patience: Patience;
  readonly #controls: Budget;
  readonly #peerResets: Budget;
  readonly #receiveWindow: ReceiveWindow;
  #isDraining = false;
  #isClosed = false;
  /** Bytes of all streams that wait for a window. */
  #heldBytes = 0;

  constructor(options: ConnectionOptions) {
    const { socket, limits, clock } = options;
    this.#options = options;
    this.output = new Output(socket, limits);
    this.#reader = new FrameReader(this, limits.maxHeaderBlockBytes);
    this.#patience = new Patience(limits, clock);
    this.#decoder = new HpackDecoder({
      maxTableBytes: limits.hpackTableBytes,
      maxListBytes: limits.maxHeaderListBytes,
    });
    this.#controls = new Budget({ burst: limits.controlBurst, perSecond: limits.controlPerSecond, clock });
    this.#peerResets = new Budget({ burst: limits.resetBurst, perSecond: limits.resetsPerSecond, clock });
    this.#receiveWindow = new ReceiveWindow(limits.connectionWindowBytes);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      socket.resume();
      this.#streams.pumpAll();
    });
    socket.on('error', () => this.#end(undefined));
    socket.on('close', () => this.#end(undefined));
    writeSettings(this.output, limits);
  }

  get isClosed(): boolean {
    return this.#isClosed;
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
    this.#streams.wait(stream);
  }

  remove(stream: Http2Stream, how: 'finished' | 'reset'): void {
    this.#streams.remove(stream);
    if (how === 'reset') this.#ids.reset(stream.id);
    this.#onStreamGone();
  }

  /**
   * Lets streams finish and takes no new ones; the connection ends with the last of them. The peer is told
   * first, and refused only when it must know, so that no stream is lost on the way (section 6.8).
   */
  drain(): void {
    if (this.#isDraining || this.#isClosed || this.#patience.hasToldPeer) return;
    if (!this.#reader.hasSettings) {
      this.#refuseStreams();
      return;
    }
    this.#patience.told();
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
    if (this.#isClosed) {
      if (this.#patience.isCutDue(nowMs)) this.#options.socket.destroy();
      return;
    }
    const { hasSettings } = this.#reader;
    switch (this.#patience.due(nowMs, { hasSettings, streams: this.#streams.size })) {
      case 'refuse-streams':
        this.#refuseStreams();
        break;
      case 'preface-timeout':
        this.#fail(
          new ConnectionError(
            ErrorCode.SettingsTimeout,
            'Expected the connection preface in time, found none.',
          ),
        );
        break;
      case 'drain':
        this.drain();
        break;
      case 'ping':
        this.#ping(PingPurpose.Keepalive);
        break;
      case 'destroy':
        this.destroy();
        break;
      case 'nothing':
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
    this.#patience.hasLearned();
    this.#goaway(ErrorCode.NoError);
    this.#onStreamGone();
  }

  #read(chunk: Buffer): void {
    if (this.#isClosed) return;
    this.#patience.read();
    this.output.hold();
    try {
      this.#reader.read(chunk);
    } catch (error) {
      this.#fail(error instanceof ConnectionError ? error : streamFailed(error));
    } finally {
      this.output.release();
    }
    // What we read makes what we send: a peer that does not read is not read from.
    if (this.output.isOverfull && !this.#isClosed) this.#options.socket.pause();
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
        this.#isDraining = true;
        this.#onStreamGone();
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
    if (granted > 0) this.output.windowUpdate(0, granted);
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
      stream.onReceived(length, this.#options.limits.streamWindowBytes);
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
    if (this.#isDraining) this.#refuse(id, ErrorCode.RefusedStream);
    else this.#add(id, endsStream).finish(longHeadAnswer(fields, this.#options.limits.maxHeaderListBytes));
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
    if (this.#isDraining) {
      this.#refuse(id, ErrorCode.RefusedStream);
      return;
    }
    if (this.#streams.size >= this.#options.limits.maxConcurrentStreams) {
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
    const handler = this.#options.onRequest(stream, head);
    stream.handler = handler;
    if (endsStream && !stream.isClosed) handler?.onEnd();
  }

  #add(id: number, isRemoteEnded: boolean): Http2Stream {
    const stream = new Http2Stream(this, {
      id,
      sendWindow: this.#streams.initialWindow,
      receiveWindow: this.#options.limits.streamWindowBytes,
    });
    stream.isRemoteEnded = isRemoteEnded;
    this.#streams.add(stream);
    return stream;
  }

  #refuse(id: number, code: ErrorCodeValue): void {
    this.output.rstStream(id, code);
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
    if (stream?.hasSentHeaders !== true && !this.#peerResets.spend()) throw tooMuch('resets');
    if (stream === undefined) return;
    this.#streams.remove(stream);
    stream.onGone();
    this.#onStreamGone();
  }

  #onSettings(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (id !== 0) throw violation('SETTINGS on stream 0', `stream ${id}`);
    if (flags & Flag.Ack) {
      if (length !== 0) throw frameSize('an empty acknowledgement of SETTINGS', length);
      return;
    }
    this.spendControl();
    readSettings(bytes, at, length, (windowBytes) => this.#streams.setInitialWindow(windowBytes));
    this.output.frame(FrameType.Settings, Flag.Ack, 0, 0);
  }

  #onPing(flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    checkPing(id, length);
    if (flags & Flag.Ack) {
      if (this.#patience.hasToldPeer && bytes.readUInt32BE(at + 4) === PingPurpose.Drain)
        this.#refuseStreams();
      return;
    }
    this.spendControl();
    this.output.frame(FrameType.Ping, Flag.Ack, 0, 8);
    this.output.bytes(bytes, at, at + 8);
  }

  #onWindowUpdate(id: number, bytes: Buffer, at: number, length: number): void {
    const increment = windowIncrement(bytes, at, length);
    if (id === 0) {
      if (increment === 0) throw violation('a window increment', '0');
      this.sendWindow += increment;
      if (this.sendWindow > maxWindow) {
        throw new ConnectionError(ErrorCode.FlowControlError, "The connection's window passes 2^31 - 1.");
      }
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
    if (!this.#controls.spend()) throw tooMuch('frames that carry nothing');
  }

  #onStreamGone(): void {
    if (this.#streams.size > 0) return;
    this.#patience.idle();
    if (!this.#isDraining || this.#isClosed) return;
    this.output.flush();
    this.#end(undefined);
    // The last answers may still be on their way to a slow reader.
    this.#hangUp(this.#options.limits.keepaliveTimeoutMs);
  }

  #goaway(code: ErrorCodeValue, lastId = this.#ids.last): void {
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
    this.#patience.hangUp(patienceMs);
    this.#options.socket.resume();
    this.#options.socket.end();
  }

  #end(error: ConnectionError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#reader.close();
    const failure = this.#streams.endAll();
    this.#options.onClose(error ?? failure);
  }
}
