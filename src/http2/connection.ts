import type { Duplex } from 'node:stream';
import { FrameType, initialWindow, maxWindow } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { ConnectionError, ErrorCode, type ErrorCodeValue } from './http2-error.ts';
import type { Http2Stream, StreamHandler } from './http2-stream.ts';
import { type FrameHost, IncomingFrames } from './incoming-frames.ts';
import type { Http2Limits } from './limits.ts';
import { OpenStreams, streamFailed } from './open-streams.ts';
import { Output } from './output.ts';
import { Patience } from './patience.ts';
import type { RequestHead } from './request-head.ts';
import { writeSettings } from './settings.ts';
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
 * no priorities: its life from the preface to the last byte. Writes once per read.
 */
export class Http2Connection implements FrameHost {
  readonly output: Output;
  sendWindow = initialWindow;
  readonly #options: ConnectionOptions;
  readonly #streams = new OpenStreams();
  readonly #reader: FrameReader;
  readonly #ids = new StreamIds();
  readonly #patience: Patience;
  #isDraining = false;
  #isClosed = false;
  /** Bytes of all streams that wait for a window. */
  #heldBytes = 0;

  constructor(options: ConnectionOptions) {
    const { socket, limits, clock } = options;
    this.#options = options;
    this.output = new Output(socket, limits);
    const frames = new IncomingFrames({ host: this, limits, clock, streams: this.#streams, ids: this.#ids });
    this.#reader = new FrameReader(frames, limits.maxHeaderBlockBytes);
    this.#patience = new Patience(limits, clock);
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

  get isDraining(): boolean {
    return this.#isDraining;
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
    this.onStreamGone();
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
    this.onStreamGone();
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

  onRequest(stream: Http2Stream, head: RequestHead): StreamHandler | undefined {
    return this.#options.onRequest(stream, head);
  }

  onGoaway(): void {
    this.#isDraining = true;
    this.onStreamGone();
  }

  onPingAcknowledged(purpose: number): void {
    if (this.#patience.hasToldPeer && purpose === PingPurpose.Drain) this.#refuseStreams();
  }

  openWindow(bytes: number): void {
    this.sendWindow += bytes;
    if (this.sendWindow > maxWindow)
      throw new ConnectionError(ErrorCode.FlowControlError, "The connection's window passes 2^31 - 1.");
  }

  onStreamGone(): void {
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
