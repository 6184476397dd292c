import { decodeReply, type Reply } from '../wire/processing-response.ts';

/** How a stream ended. */
export type CallEnd =
  | { readonly kind: 'status'; readonly code: number; readonly message: string }
  | { readonly kind: 'reset'; readonly code: number }
  /** The connection went, or its bytes made no sense. */
  | { readonly kind: 'lost' };

export type CallEvent =
  | { readonly kind: 'message'; readonly bytes: Buffer }
  | { readonly kind: 'end'; readonly end: CallEnd }
  | { readonly kind: 'silence'; readonly afterMs: number };

export type ReplyEvent = Exclude<CallEvent, { kind: 'message' }> | { kind: 'reply'; reply: Reply };

/** What a call asks of its connection. */
export interface CallWire {
  data(bytes: Buffer, isEnd: boolean): void;
  reset(code: number): void;
  /** Bytes that flow control allows now. */
  room(): number;
}

const cancelCode = 8;
const prefixBytes = 5;

/** One gRPC call. Events queue up until they are asked for. */
export class Call {
  readonly #wire: CallWire;
  #unsent: Buffer[] = [];
  #shallEnd = false;
  #hasEnded = false;
  #received: Buffer = Buffer.alloc(0);
  readonly #messages: Buffer[] = [];
  #end: CallEnd | undefined;
  #wake: (() => void) | undefined;

  constructor(wire: CallWire) {
    this.#wire = wire;
  }

  send(message: Uint8Array): this {
    return this.sendBytes(grpcMessage(message));
  }

  /** DATA without gRPC's framing. */
  sendBytes(bytes: Buffer): this {
    this.#unsent.push(bytes);
    this.onRoom();
    return this;
  }

  halfClose(): this {
    this.#shallEnd = true;
    this.onRoom();
    return this;
  }

  reset(code = cancelCode): void {
    if (this.#end === undefined) this.#wire.reset(code);
    this.#finish({ kind: 'reset', code });
  }

  /** Messages that have come and were not asked for. */
  get pending(): number {
    return this.#messages.length;
  }

  /** Bytes that wait for flow control. */
  get unsentBytes(): number {
    return this.#unsent.reduce((sum, { length }) => sum + length, 0);
  }

  async next(timeoutMs: number): Promise<CallEvent> {
    if (this.#messages.length === 0 && this.#end === undefined) await this.#news(timeoutMs);
    const bytes = this.#messages.shift();
    if (bytes !== undefined) return { kind: 'message', bytes };
    if (this.#end !== undefined) return { kind: 'end', end: this.#end };
    return { kind: 'silence', afterMs: timeoutMs };
  }

  /** The next `ProcessingResponse`; bytes that are none end the call. */
  async nextReply(timeoutMs: number): Promise<ReplyEvent> {
    const event = await this.next(timeoutMs);
    if (event.kind !== 'message') return event;
    try {
      return { kind: 'reply', reply: decodeReply(event.bytes) };
    } catch {
      this.reset();
      return { kind: 'end', end: { kind: 'lost' } };
    }
  }

  /** Sends what flow control allows. */
  onRoom(): void {
    while (this.#unsent.length > 0 && this.#end === undefined) {
      const first = this.#unsent[0]!;
      const room = this.#wire.room();
      if (room <= 0 && first.length > 0) return;
      const piece = first.subarray(0, room);
      if (piece.length === first.length) this.#unsent.shift();
      else this.#unsent[0] = first.subarray(piece.length);
      this.#wire.data(piece, false);
    }
    if (!this.#shallEnd || this.#hasEnded || this.#unsent.length > 0 || this.#end !== undefined) return;
    this.#hasEnded = true;
    this.#wire.data(Buffer.alloc(0), true);
  }

  onHeaders(headers: ReadonlyMap<string, string>, isEnd: boolean): void {
    if (!isEnd) return;
    const code = headers.get('grpc-status');
    if (code === undefined) this.#finish({ kind: 'lost' });
    else this.#finish({ kind: 'status', code: Number(code), message: headers.get('grpc-message') ?? '' });
  }

  onData(bytes: Buffer): void {
    let rest = Buffer.concat([this.#received, bytes]);
    while (rest.length >= prefixBytes) {
      const end = prefixBytes + rest.readUInt32BE(1);
      if (rest.length < end) break;
      this.#messages.push(rest.subarray(prefixBytes, end));
      rest = rest.subarray(end);
    }
    this.#received = rest;
    if (this.#messages.length > 0) this.#wake?.();
  }

  onReset(code: number): void {
    this.#finish({ kind: 'reset', code });
  }

  onLost(): void {
    this.#finish({ kind: 'lost' });
  }

  #finish(end: CallEnd): void {
    this.#end ??= end;
    this.#unsent = [];
    this.#wake?.();
  }

  async #news(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

export function grpcMessage(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

export function describeEnd(end: CallEnd): string {
  switch (end.kind) {
    case 'status':
      return end.code === 0 ? 'the end with OK' : `gRPC status ${end.code} ${end.message}`.trimEnd();
    case 'reset':
      return `a reset with code ${end.code}`;
    case 'lost':
      return 'a lost connection';
  }
}
