import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import {
  Flag,
  FrameType,
  initialWindow,
  maxFrameBytes,
  maxWindow,
  preface,
  Setting,
} from '../../http2/frame.ts';
import { HpackDecoder } from '../../http2/hpack-decoder.ts';
import { Call } from './call.ts';
import { encodeFrame, type Frame, FrameReader, headerBlock, setting, uint32 } from './frames.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Any certificate is accepted, as data planes do. */
  readonly usesTls: boolean;
  /** Protocols that TLS offers (ALPN); `h2` unless said otherwise. */
  readonly offers?: readonly string[];
}

const usualWindowBytes = 16 << 20;

/** How a connection takes what the picker sends. */
export interface Reading {
  /** What one stream may be sent before more is granted. */
  readonly streamWindowBytes: number;
  /** False: nothing more is granted until `readOn`, as by a data plane whose own client does not read. */
  readonly grants: boolean;
}

/**
 * A small HTTP/2 client for gRPC that can be made to misbehave: the bytes of a call can be had before they are
 * sent (`capture`), and sent in pieces (`sendInTwo`). Flow control is kept in both directions.
 */
export class ClientConnection {
  readonly #socket: Socket;
  readonly #authority: string;
  readonly #frames = new FrameReader();
  readonly #hpack = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1 << 20 });
  readonly #calls = new Map<number, Call>();
  readonly #sendWindows = new Map<number, number>();
  #connectionWindow = initialWindow;
  #initialSendWindow = initialWindow;
  #nextId = 1;
  #headers: { readonly id: number; readonly isEnd: boolean; block: Buffer } | undefined;
  #captured: Buffer[] | undefined;
  #isOpen = true;
  #isGoingAway = false;
  #grants: boolean;
  /** Bytes that were read and not granted again, by stream. */
  readonly #owed = new Map<number, number>();

  static async open(
    target: Target,
    timeoutMs: number,
    reading: Reading = { streamWindowBytes: usualWindowBytes, grants: true },
  ): Promise<ClientConnection> {
    const socket = await openSocket(target, timeoutMs);
    return new ClientConnection(socket, `${target.host}:${target.port}`, reading);
  }

  private constructor(socket: Socket, authority: string, { streamWindowBytes, grants }: Reading) {
    this.#grants = grants;
    this.#socket = socket;
    this.#authority = authority;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('close', () => this.#onClose());
    socket.on('error', () => {});
    const settings = Buffer.concat([
      setting(Setting.EnablePush, 0),
      setting(Setting.InitialWindowSize, streamWindowBytes),
    ]);
    this.#write(
      preface,
      encodeFrame(FrameType.Settings, 0, 0, settings),
      encodeFrame(FrameType.WindowUpdate, 0, 0, uint32(maxWindow - initialWindow)),
    );
  }

  /** Takes new calls. */
  get isUsable(): boolean {
    return this.#isOpen && !this.#isGoingAway;
  }

  openCall(path: string): Call {
    const id = this.#nextId;
    this.#nextId += 2;
    const call = new Call({
      data: (bytes, isEnd) => this.#sendData(id, bytes, isEnd),
      reset: (code) => this.#reset(id, code),
      room: () => Math.min(this.#connectionWindow, this.#sendWindows.get(id) ?? 0),
    });
    this.#calls.set(id, call);
    this.#sendWindows.set(id, this.#initialSendWindow);
    const fields = [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', path],
      [':authority', this.#authority],
      ['te', 'trailers'],
      ['content-type', 'application/grpc'],
      ['user-agent', 'pointsman-conformance'],
    ] as const;
    this.#write(encodeFrame(FrameType.Headers, Flag.EndHeaders, id, headerBlock(fields)));
    return call;
  }

  /** What `act` would have sent, held back for `sendInTwo`. */
  capture(act: () => void): Buffer {
    this.#captured = [];
    act();
    const bytes = Buffer.concat(this.#captured);
    this.#captured = undefined;
    return bytes;
  }

  /** Sends bytes that end inside a frame, later the rest. Frames of our own wait behind them. */
  async sendInTwo(bytes: Buffer, at: number, pauseMs: number): Promise<void> {
    this.#captured = [];
    this.#writeNow(bytes.subarray(0, at));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    this.#writeNow(bytes.subarray(at), ...this.#captured);
    this.#captured = undefined;
  }

  /** Grants what was held back, and all that comes from now on. */
  readOn(): void {
    this.#grants = true;
    for (const [id, bytes] of this.#owed) this.#grant(id, bytes);
    this.#owed.clear();
  }

  /** Cuts the connection, calls and all. */
  close(): void {
    this.#socket.destroy();
    this.#onClose();
  }

  #write(...parts: readonly Buffer[]): void {
    if (this.#captured === undefined) this.#writeNow(...parts);
    else this.#captured.push(...parts);
  }

  #writeNow(...parts: readonly Buffer[]): void {
    if (this.#isOpen) this.#socket.write(Buffer.concat(parts));
  }

  #sendData(id: number, bytes: Buffer, isEnd: boolean): void {
    this.#connectionWindow -= bytes.length;
    this.#sendWindows.set(id, (this.#sendWindows.get(id) ?? 0) - bytes.length);
    for (let at = 0; at === 0 || at < bytes.length; at += maxFrameBytes) {
      const piece = bytes.subarray(at, at + maxFrameBytes);
      const isLast = at + maxFrameBytes >= bytes.length;
      this.#write(encodeFrame(FrameType.Data, isLast && isEnd ? Flag.EndStream : 0, id, piece));
    }
  }

  #reset(id: number, code: number): void {
    this.#write(encodeFrame(FrameType.RstStream, 0, id, uint32(code)));
    this.#forget(id);
  }

  #forget(id: number): void {
    this.#calls.delete(id);
    this.#sendWindows.delete(id);
  }

  #onData(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.push(chunk)) this.#onFrame(frame);
    } catch {
      // Bytes that are no HTTP/2: calls end as lost, which is what a data plane would see.
      this.close();
    }
  }

  #onFrame(frame: Frame): void {
    const { type, flags, id, payload } = frame;
    switch (type) {
      case FrameType.Settings:
        if ((flags & Flag.Ack) === 0) this.#onSettings(payload);
        return;
      case FrameType.Ping:
        if ((flags & Flag.Ack) === 0) this.#write(encodeFrame(FrameType.Ping, Flag.Ack, 0, payload));
        return;
      case FrameType.Goaway:
        this.#isGoingAway = true;
        return;
      case FrameType.WindowUpdate:
        this.#onWindowUpdate(id, payload.readUInt32BE(0));
        return;
      case FrameType.RstStream:
        this.#calls.get(id)?.onReset(payload.readUInt32BE(0));
        this.#forget(id);
        return;
      case FrameType.Headers:
        this.#headers = { id, isEnd: (flags & Flag.EndStream) !== 0, block: headersOf(flags, payload) };
        if ((flags & Flag.EndHeaders) !== 0) this.#onHeaders();
        return;
      case FrameType.Continuation:
        if (this.#headers === undefined) return;
        this.#headers.block = Buffer.concat([this.#headers.block, payload]);
        if ((flags & Flag.EndHeaders) !== 0) this.#onHeaders();
        return;
      case FrameType.Data:
        this.#onBody(frame);
        return;
    }
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== Setting.InitialWindowSize) continue;
      const size = payload.readUInt32BE(at + 2);
      for (const [id, window] of this.#sendWindows) {
        this.#sendWindows.set(id, window + size - this.#initialSendWindow);
      }
      this.#initialSendWindow = size;
    }
    this.#write(encodeFrame(FrameType.Settings, Flag.Ack, 0, Buffer.alloc(0)));
    for (const call of this.#calls.values()) call.onRoom();
  }

  #onWindowUpdate(id: number, bytes: number): void {
    if (id === 0) this.#connectionWindow += bytes;
    else if (this.#sendWindows.has(id)) this.#sendWindows.set(id, this.#sendWindows.get(id)! + bytes);
    for (const call of this.#calls.values()) call.onRoom();
  }

  #onHeaders(): void {
    const { id, isEnd, block } = this.#headers!;
    this.#headers = undefined;
    const fields = this.#hpack.decode(block, 0, block.length);
    this.#calls.get(id)?.onHeaders(new Map(fields), isEnd);
    if (isEnd) this.#forget(id);
  }

  #onBody({ flags, id, payload }: Frame): void {
    const padding = (flags & Flag.Padded) === 0 ? 0 : 1 + payload[0]!;
    const body = padding === 0 ? payload : payload.subarray(1, payload.length - padding + 1);
    if (this.#grants) this.#grant(id, payload.length);
    else this.#owed.set(id, (this.#owed.get(id) ?? 0) + payload.length);
    this.#calls.get(id)?.onData(body);
    if ((flags & Flag.EndStream) !== 0) {
      this.#calls.get(id)?.onLost();
      this.#forget(id);
    }
  }

  #grant(id: number, bytes: number): void {
    if (bytes === 0) return;
    const more = uint32(bytes);
    this.#write(encodeFrame(FrameType.WindowUpdate, 0, 0, more));
    if (this.#calls.has(id)) this.#write(encodeFrame(FrameType.WindowUpdate, 0, id, more));
  }

  #onClose(): void {
    this.#isOpen = false;
    for (const call of this.#calls.values()) call.onLost();
    this.#calls.clear();
  }
}

function headersOf(flags: number, payload: Buffer): Buffer {
  const isPadded = (flags & Flag.Padded) !== 0;
  const start = (isPadded ? 1 : 0) + ((flags & Flag.Priority) === 0 ? 0 : 5);
  return payload.subarray(start, payload.length - (isPadded ? payload[0]! : 0));
}

/** A connection that has ended its TLS handshake; rejects where there is none. */
export async function openSocket(target: Target, timeoutMs: number): Promise<Socket> {
  const { host, port, usesTls, offers = ['h2'] } = target;
  return new Promise((resolve, reject) => {
    const socket = usesTls
      ? connectTls({ host, port, ALPNProtocols: [...offers], rejectUnauthorized: false })
      : connectTcp({ host, port });
    const timer = setTimeout(() => {
      socket.destroy(new Error(`Expected a connection to ${host}:${port} within ${timeoutMs} ms.`));
    }, timeoutMs);
    socket.setNoDelay(true);
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once(usesTls ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}
