import { Duplex } from 'node:stream';
import type { Scenario } from './scenario.ts';

const largeWindow = 0x7fff_0000;

/**
 * A data plane without a network: hands the frames of whole phases to a server as one read, and counts the bytes that
 * the server writes while it handles them.
 */
export class MemoryClient extends Duplex {
  bytesBack = 0;
  writes = 0;
  /** Microseconds in the server. */
  spentUs = 0;
  #nextId = 1;
  #ungranted = 0;

  constructor() {
    super({ highWaterMark: 1 << 26 });
  }

  setNoDelay(): this {
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.bytesBack += chunk.length;
    this.#ungranted += dataBytes(chunk);
    this.writes++;
    done();
  }

  begin(): void {
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(4, 0);
    settings.writeUInt32BE(largeWindow, 2);
    this.emit('data', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
    this.emit('data', Buffer.concat([frame(4, 0, 0, settings), windowUpdate(largeWindow - 65_535)]));
  }

  /** Streams side by side, from their beginning to their end, in reads of at most 64 KiB, as Node's are. */
  exchange({ first, rest, streams }: PreparedExchange): void {
    const firstId = this.#nextId;
    this.#nextId += 2 * streams;
    this.#hand(first, firstId);
    for (const reads of rest) this.#hand(reads, firstId);
    if (this.#ungranted < 1 << 24) return;
    this.emit('data', windowUpdate(this.#ungranted));
    this.#ungranted = 0;
  }

  /** The server may hold what it is given, so each time it is given a copy. */
  #hand({ bytes, places }: Reads, firstId: number): void {
    const copy = Buffer.from(bytes);
    for (const { at, stream } of places) copy.writeUInt32BE(firstId + 2 * stream, at);
    const startedMs = performance.now();
    for (let at = 0; at < copy.length; at += 65_536)
      this.emit('data', copy.subarray(at, Math.min(copy.length, at + 65_536)));
    this.spentUs += 1000 * (performance.now() - startedMs);
  }
}

interface Reads {
  readonly bytes: Buffer;
  /** Where a stream's id is to be written. */
  readonly places: readonly { readonly at: number; readonly stream: number }[];
}

export interface PreparedExchange {
  readonly streams: number;
  readonly first: Reads;
  readonly rest: readonly Reads[];
}

export function prepare({ phases }: Scenario, streams: number): PreparedExchange {
  const [request, ...others] = phases.map(({ bytes }) => dataFrames(bytes));
  return {
    streams,
    first: reads(streams, [frame(1, 4, 0, headers), ...request!]),
    rest: [...others, [frame(0, 1, 0, Buffer.alloc(0))]].map((frames) => reads(streams, frames)),
  };
}

/** The same frames for each stream, one stream after the other. */
function reads(streams: number, frames: readonly Buffer[]): Reads {
  const places: { at: number; stream: number }[] = [];
  const parts: Buffer[] = [];
  let at = 0;
  for (let stream = 0; stream < streams; stream++) {
    for (const part of frames) {
      places.push({ at: at + 5, stream });
      parts.push(part);
      at += part.length;
    }
  }
  return { bytes: Buffer.concat(parts), places };
}

/** Of the DATA frames in a write, which are all that flow control counts; frames are never cut by a write. */
function dataBytes(chunk: Buffer): number {
  let sum = 0;
  for (let at = 0; at + 9 <= chunk.length; ) {
    const length = chunk.readUIntBE(at, 3);
    if (chunk[at + 3] === 0) sum += length;
    at += 9 + length;
  }
  return sum;
}

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

function dataFrames(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 16_384)
    frames.push(frame(0, 0, 0, bytes.subarray(at, at + 16_384)));
  return frames;
}

function windowUpdate(increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return frame(8, 0, 0, payload);
}

/** Literals without indexing: the same for every stream. */
const headers = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  ...[
    [':path', '/envoy.service.ext_proc.v3.ExternalProcessor/Process'],
    [':authority', 'localhost:9002'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ].map(([name, value]) =>
    Buffer.concat([
      Buffer.from([0, name!.length]),
      Buffer.from(name!),
      Buffer.from([value!.length]),
      Buffer.from(value!),
    ]),
  ),
]);
