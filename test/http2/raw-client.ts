import { connect, type Socket } from 'node:net';

/** A peer that writes any bytes, and reads frames. For what no library would send. */

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(type: number, flags: number, id: number, payload: Uint8Array | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'hex') : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id >>> 0, 5);
  return Buffer.concat([head, body]);
}

export const settings = (payload = '') => frame(4, 0, 0, payload);
export const ping = frame(6, 0, 0, '0102030405060708');

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** Literals without indexing, strings shorter than 127 bytes. */
export function fields(...pairs: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    pairs.map(([name, value]) =>
      Buffer.concat([
        Buffer.from([0, name.length]),
        Buffer.from(name),
        Buffer.from([value.length]),
        Buffer.from(value),
      ]),
    ),
  );
}

export const request = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/test/Echo'],
  ['content-type', 'application/grpc'],
] as const;

/** A gRPC message with its prefix. */
export function message(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0]), uint32(bytes.length), bytes]);
}

export class RawClient {
  readonly frames: Frame[] = [];
  isClosed = false;
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('close', () => {
      this.isClosed = true;
    });
    this.#socket.on('error', () => {});
  }

  send(...parts: readonly Uint8Array[]): this {
    this.#socket.write(Buffer.concat(parts));
    return this;
  }

  /** Preface and empty SETTINGS, then the parts. */
  open(...parts: readonly Uint8Array[]): this {
    return this.send(preface, settings(), ...parts);
  }

  of(type: number): Frame[] {
    return this.frames.filter((each) => each.type === type);
  }

  /** Error codes of GOAWAY, and of RST_STREAM with their streams. */
  goaways(): number[] {
    return this.of(7).map(({ payload }) => payload.readUInt32BE(4));
  }

  resets(): (readonly [id: number, code: number])[] {
    return this.of(3).map(({ id, payload }) => [id, payload.readUInt32BE(0)] as const);
  }

  hasPong(): boolean {
    return this.of(6).some(({ flags }) => flags === 1);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    const { frames, rest } = framesOf(Buffer.concat([this.#rest, chunk]));
    this.frames.push(...frames);
    this.#rest = rest;
  }
}

/** The whole frames at the beginning of the bytes. */
export function framesOf(bytes: Buffer): { readonly frames: readonly Frame[]; readonly rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 9) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      id: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, end),
    });
    at = end;
  }
  return { frames, rest: bytes.subarray(at) };
}
