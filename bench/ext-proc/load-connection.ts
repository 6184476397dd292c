import { connect, type Socket } from 'node:net';
import type { Scenario } from './scenario.ts';

/** Told of each exchange that ends. Times in milliseconds. */
export interface LoadObserver {
  onPicked(latencyMs: number): void;
  onFinished(durationMs: number): void;
  onError(what: string): void;
}

interface Exchange {
  phase: number;
  replies: number;
  startedMs: number;
  isPicked: boolean;
  /** Of the reply that is being received: bytes still to come, or the collected prefix. */
  left: number;
  prefix: number;
  prefixLength: number;
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const maxFrameBytes = 16_384;
const largeWindow = 0x7fff_0000;

/**
 * The client side of one connection, with as little work as can be: frames are prepared once and copied, and
 * replies are only counted. Grants windows that never run out, and trusts the server's.
 */
export class LoadConnection {
  readonly #socket: Socket;
  readonly #phases: readonly {
    readonly frames: Buffer;
    readonly idPlaces: readonly number[];
    readonly replies: number;
  }[];
  readonly #end: Buffer;
  readonly #first: Buffer;
  readonly #next: Buffer;
  readonly #exchanges = new Map<number, Exchange>();
  readonly #observer: LoadObserver;
  #rest: Buffer = Buffer.alloc(0);
  #nextId = 1;
  #out: Buffer[] = [];
  #isReading = false;

  constructor(port: number, scenario: Scenario, observer: LoadObserver) {
    this.#observer = observer;
    this.#phases = scenario.phases.map(({ bytes, replies }) => ({ ...dataFrames(bytes), replies }));
    this.#end = frame(0, 1, Buffer.alloc(0));
    this.#first = frame(1, 4, headerBlock());
    // The dynamic table holds what the first block has left there, newest first.
    this.#next = frame(1, 4, Buffer.from([0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]));
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('error', (error) => observer.onError(error.message));
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(4, 0);
    settings.writeUInt32BE(largeWindow, 2);
    const update = Buffer.alloc(4);
    update.writeUInt32BE(largeWindow - 65_535);
    this.#socket.write(Buffer.concat([preface, frame(4, 0, settings), frame(8, 0, update)]));
  }

  get open(): number {
    return this.#exchanges.size;
  }

  start(): void {
    const id = this.#nextId;
    this.#nextId += 2;
    const exchange: Exchange = {
      phase: 0,
      replies: 0,
      startedMs: performance.now(),
      isPicked: false,
      left: 0,
      prefix: 0,
      prefixLength: 0,
    };
    this.#exchanges.set(id, exchange);
    this.#write(id === 1 ? this.#first : this.#next, id, [0]);
    this.#sendPhase(id, exchange);
    if (!this.#isReading) this.#flush();
  }

  close(): void {
    this.#socket.destroy();
  }

  #sendPhase(id: number, { phase }: Exchange): void {
    const { frames, idPlaces } = this.#phases[phase]!;
    this.#write(frames, id, idPlaces);
  }

  #write(frames: Buffer, id: number, places: readonly number[]): void {
    const copy = Buffer.from(frames);
    for (const at of places) copy.writeUInt32BE(id, at + 5);
    this.#out.push(copy);
  }

  #flush(): void {
    if (this.#out.length === 0) return;
    this.#socket.write(this.#out.length === 1 ? this.#out[0]! : Buffer.concat(this.#out));
    this.#out = [];
  }

  #read(chunk: Buffer): void {
    this.#isReading = true;
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 9) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes.length - at < 9 + length) break;
      const id = bytes.readUInt32BE(at + 5);
      this.#onFrame(bytes[at + 3]!, bytes[at + 4]!, id, bytes, at + 9, length);
      at += 9 + length;
    }
    this.#rest = bytes.subarray(at);
    this.#isReading = false;
    this.#flush();
  }

  #onFrame(type: number, flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (type === 0) {
      const exchange = this.#exchanges.get(id);
      if (exchange !== undefined) this.#count(id, exchange, bytes, at, at + length);
      this.#grant(length);
    } else if (type === 1 && flags & 1) this.#onEnd(id);
    else if (type === 4 && !(flags & 1)) this.#out.push(frame(4, 1, Buffer.alloc(0)));
    else if (type === 6 && !(flags & 1)) this.#out.push(frame(6, 1, bytes.subarray(at, at + 8)));
    else if (type === 7) this.#observer.onError(`GOAWAY ${bytes.readUInt32BE(at + 4)}`);
    else if (type === 3 && this.#exchanges.delete(id))
      this.#observer.onError(`reset ${bytes.readUInt32BE(at)}`);
  }

  #ungranted = 0;
  #grant(length: number): void {
    this.#ungranted += length;
    if (this.#ungranted < 1 << 24) return;
    const update = Buffer.alloc(4);
    update.writeUInt32BE(this.#ungranted);
    this.#ungranted = 0;
    this.#out.push(frame(8, 0, update));
  }

  #count(id: number, exchange: Exchange, bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (exchange.left > 0) {
        const taken = Math.min(exchange.left, end - at);
        exchange.left -= taken;
        at += taken;
        if (exchange.left === 0) this.#onReply(id, exchange);
        continue;
      }
      if (exchange.prefixLength > 0) exchange.prefix = exchange.prefix * 256 + bytes[at]!;
      at++;
      if (++exchange.prefixLength < 5) continue;
      exchange.left = exchange.prefix;
      exchange.prefix = 0;
      exchange.prefixLength = 0;
      if (exchange.left === 0) this.#onReply(id, exchange);
    }
  }

  #onReply(id: number, exchange: Exchange): void {
    if (!exchange.isPicked) {
      exchange.isPicked = true;
      this.#observer.onPicked(performance.now() - exchange.startedMs);
    }
    exchange.replies++;
    if (exchange.replies < this.#phases[exchange.phase]!.replies) return;
    exchange.replies = 0;
    exchange.phase++;
    if (exchange.phase < this.#phases.length) this.#sendPhase(id, exchange);
    else this.#write(this.#end, id, [0]);
  }

  #onEnd(id: number): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return;
    this.#exchanges.delete(id);
    if (exchange.phase < this.#phases.length) this.#observer.onError(`ended in phase ${exchange.phase}`);
    else this.#observer.onFinished(performance.now() - exchange.startedMs);
  }
}

function frame(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  return Buffer.concat([head, payload]);
}

function dataFrames(bytes: Buffer): { frames: Buffer; idPlaces: number[] } {
  const frames: Buffer[] = [];
  const idPlaces: number[] = [];
  let length = 0;
  for (let at = 0; at < bytes.length; at += maxFrameBytes) {
    const part = frame(0, 0, bytes.subarray(at, at + maxFrameBytes));
    idPlaces.push(length);
    frames.push(part);
    length += part.length;
  }
  return { frames: Buffer.concat(frames), idPlaces };
}

/** `:method` and `:scheme` by index; four fields that enter the dynamic table. */
function headerBlock(): Buffer {
  const fields = [
    [':path', '/envoy.service.ext_proc.v3.ExternalProcessor/Process'],
    [':authority', 'localhost:9002'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ];
  const parts = fields.map(([name, value]) =>
    Buffer.concat([
      Buffer.from([0x40, name!.length]),
      Buffer.from(name!),
      Buffer.from([value!.length]),
      Buffer.from(value!),
    ]),
  );
  return Buffer.concat([Buffer.from([0x83, 0x86]), ...parts]);
}
