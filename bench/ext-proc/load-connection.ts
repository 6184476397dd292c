import { connect, type Socket } from 'node:net';
import type { Scenario } from './scenario.ts';

/** Told of each exchange that ends. Times in milliseconds. */
export interface LoadObserver {
  /** From when the exchange was due. */
  onPicked(latencyMs: number): void;
  onFinished(): void;
  onError(what: string): void;
}

interface Exchange {
  phase: number;
  replies: number;
  dueMs: number;
  isPicked: boolean;
  /** Of the reply that is being received: bytes still to come, or the collected prefix. */
  left: number;
  prefix: number;
  prefixLength: number;
}

interface Frames {
  readonly bytes: Buffer;
  /** Where frames begin, whose stream id is yet to be written. */
  readonly starts: readonly number[];
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const maxFrameBytes = 16_384;
const largeWindow = 0x7fff_0000;
const slabBytes = 1 << 18;
const readBytes = 1 << 18;
/** In front of what is read, for the beginning of a frame that came with the read before. */
const roomBytes = 1 << 15;

/**
 * The client side of one connection, with as little work as can be: frames are prepared once and copied into the
 * next write, and replies are only counted. Grants windows that never run out, and trusts the server's.
 */
export class LoadConnection {
  readonly #socket: Socket;
  readonly #phases: readonly { readonly frames: Frames; readonly replies: number }[];
  readonly #end = oneFrame(frame(0, 1, Buffer.alloc(0)));
  readonly #first = oneFrame(frame(1, 4, headerBlock()));
  // The dynamic table holds what the first block has left there, newest first.
  readonly #next = oneFrame(frame(1, 4, Buffer.from([0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe])));
  readonly #exchanges = new Map<number, Exchange>();
  readonly #observer: LoadObserver;
  /** Exchanges that are over, to be used again. */
  readonly #spare: Exchange[] = [];
  /** Read into again and again; `#rest` bytes of it in front of `roomBytes` are of the read before. */
  readonly #input = Buffer.allocUnsafeSlow(roomBytes + readBytes);
  #rest = 0;
  #nextId = 1;
  #slab = Buffer.allocUnsafeSlow(slabBytes);
  #slabStart = 0;
  #slabEnd = 0;
  #ungranted = 0;

  constructor(port: number, scenario: Scenario, observer: LoadObserver) {
    this.#observer = observer;
    this.#phases = scenario.phases.map(({ bytes, replies }) => ({ frames: dataFrames(bytes), replies }));
    const onread = {
      buffer: this.#input.subarray(roomBytes),
      callback: (length: number) => {
        this.#read(length);
        return true;
      },
    };
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread });
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

  /** Begins an exchange; sent by the next `flush`, or at the end of the read that is under way. */
  start(dueMs: number): void {
    const id = this.#nextId;
    this.#nextId += 2;
    const exchange = this.#spare.pop() ?? newExchange();
    exchange.phase = 0;
    exchange.replies = 0;
    exchange.dueMs = dueMs;
    exchange.isPicked = false;
    this.#exchanges.set(id, exchange);
    this.#put(id === 1 ? this.#first : this.#next, id);
    this.#put(this.#phases[0]!.frames, id);
  }

  flush(): void {
    if (this.#slabEnd === this.#slabStart) return;
    this.#socket.write(this.#slab.subarray(this.#slabStart, this.#slabEnd));
    this.#slabStart = this.#slabEnd;
  }

  close(): void {
    this.#socket.destroy();
  }

  #put({ bytes, starts }: Frames, id: number): void {
    if (this.#slabEnd + bytes.length > this.#slab.length) {
      this.flush();
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, bytes.length));
      this.#slabStart = 0;
      this.#slabEnd = 0;
    }
    const at = this.#slabEnd;
    this.#slab.set(bytes, at);
    for (const start of starts) this.#slab.writeUInt32BE(id, at + start + 5);
    this.#slabEnd += bytes.length;
  }

  #read(read: number): void {
    const bytes = this.#input;
    let at = roomBytes - this.#rest;
    const end = roomBytes + read;
    while (end - at >= 9) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (end - at < 9 + length) break;
      const id = bytes.readUInt32BE(at + 5);
      this.#onFrame(bytes[at + 3]!, bytes[at + 4]!, id, bytes, at + 9, length);
      at += 9 + length;
    }
    this.#rest = end - at;
    bytes.copyWithin(roomBytes - this.#rest, at, end);
    this.flush();
  }

  #onFrame(type: number, flags: number, id: number, bytes: Buffer, at: number, length: number): void {
    if (type === 0) {
      const exchange = this.#exchanges.get(id);
      if (exchange !== undefined) this.#count(id, exchange, bytes, at, at + length);
      this.#grant(length);
    } else if (type === 1 && flags & 1) this.#onEnd(id);
    else if (type === 4 && !(flags & 1)) this.#put(oneFrame(frame(4, 1, Buffer.alloc(0))), 0);
    else if (type === 6 && !(flags & 1)) this.#put(oneFrame(frame(6, 1, bytes.subarray(at, at + 8))), 0);
    else if (type === 7) this.#observer.onError(`GOAWAY ${bytes.readUInt32BE(at + 4)}`);
    else if (type === 3 && this.#exchanges.delete(id))
      this.#observer.onError(`reset ${bytes.readUInt32BE(at)}`);
  }

  #grant(length: number): void {
    this.#ungranted += length;
    if (this.#ungranted < 1 << 24) return;
    const update = Buffer.alloc(4);
    update.writeUInt32BE(this.#ungranted);
    this.#ungranted = 0;
    this.#put(oneFrame(frame(8, 0, update)), 0);
  }

  #count(id: number, exchange: Exchange, bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (exchange.left > 0) {
        const taken = Math.min(exchange.left, end - at);
        exchange.left -= taken;
        at += taken;
        if (exchange.left === 0) this.#onReply(id, exchange);
      } else {
        if (exchange.prefixLength > 0) exchange.prefix = exchange.prefix * 256 + bytes[at]!;
        at++;
        if (++exchange.prefixLength < 5) continue;
        exchange.left = exchange.prefix;
        exchange.prefix = 0;
        exchange.prefixLength = 0;
        if (exchange.left === 0) this.#onReply(id, exchange);
      }
    }
  }

  #onReply(id: number, exchange: Exchange): void {
    if (!exchange.isPicked) {
      exchange.isPicked = true;
      this.#observer.onPicked(performance.now() - exchange.dueMs);
    }
    exchange.replies++;
    if (exchange.replies < this.#phases[exchange.phase]!.replies) return;
    exchange.replies = 0;
    exchange.phase++;
    this.#put(this.#phases[exchange.phase]?.frames ?? this.#end, id);
  }

  #onEnd(id: number): void {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) return;
    this.#exchanges.delete(id);
    if (exchange.phase < this.#phases.length) this.#observer.onError(`ended in phase ${exchange.phase}`);
    else {
      this.#spare.push(exchange);
      this.#observer.onFinished();
    }
  }
}

function newExchange(): Exchange {
  return { phase: 0, replies: 0, dueMs: 0, isPicked: false, left: 0, prefix: 0, prefixLength: 0 };
}

function frame(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  return Buffer.concat([head, payload]);
}

function oneFrame(bytes: Buffer): Frames {
  return { bytes, starts: [0] };
}

function dataFrames(bytes: Buffer): Frames {
  const frames: Buffer[] = [];
  const starts: number[] = [];
  let length = 0;
  for (let at = 0; at < bytes.length; at += maxFrameBytes) {
    const part = frame(0, 0, bytes.subarray(at, at + maxFrameBytes));
    starts.push(length);
    frames.push(part);
    length += part.length;
  }
  return { bytes: Buffer.concat(frames), starts };
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
