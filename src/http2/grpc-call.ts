import type { Http2Stream, StreamHandler } from './http2-stream.ts';
import type { RequestHead } from './request-head.ts';

/** Status codes of gRPC that a server of ours sends by itself. */
export const GrpcStatus = {
  Ok: 0,
  NotFound: 5,
  ResourceExhausted: 8,
  Unimplemented: 12,
  Internal: 13,
} as const;

export interface GrpcHandler {
  /** One message, `[start, end)` of a view that stays valid while it is held. */
  onMessage(bytes: Buffer, start: number, end: number): void;
  /** The client has half-closed. */
  onEnd(): void;
  /** The call is gone: reset by the client, or cut with its connection. Not called after `end`. */
  onCancel(): void;
  onDrain(): void;
}

/** In front of each message: a byte that tells of compression, and the length. */
export const grpcPrefixBytes = 5;
/** Of a status message, before percent-encoding. */
const maxMessageCharacters = 300;
/** Room for a message of which only the prefix has come; a longer one gets more as it comes. */
const initialPartBytes = 128 * 1024;
const responseHeaders = headerBlock([
  [':status', '200'],
  ['content-type', 'application/grpc'],
]);
const okTrailers = headerBlock([['grpc-status', '0']]);

/**
 * One gRPC call on a stream ("gRPC over HTTP2"): length-prefixed messages both ways, status in trailers.
 * Messages are not compressed; a compressed one ends the call with UNIMPLEMENTED.
 */
export class GrpcCall implements StreamHandler {
  readonly #stream: Http2Stream;
  readonly #maxMessageBytes: number;
  #handler: GrpcHandler | undefined;
  /** A message, or its prefix, of which a part is still to come. */
  #part: Part | undefined;
  #isEnded = false;

  constructor(stream: Http2Stream, maxMessageBytes: number) {
    this.#stream = stream;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Must be called before the first data arrives, that is, in the turn in which the call was made. */
  handle(handler: GrpcHandler): void {
    this.#handler = handler;
  }

  /** Copies the message. Returns false when the client is slow: wait for `onDrain`. */
  send(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#isEnded) return true;
    this.#stream.sendHeaders(responseHeaders);
    // Room for the prefix in front of the message spares a second DATA frame.
    if (start >= grpcPrefixBytes) {
      writePrefix(bytes, start - grpcPrefixBytes, end - start);
      return this.#stream.send(bytes, start - grpcPrefixBytes, end);
    }
    writePrefix(prefix, 0, end - start);
    this.#stream.send(prefix, 0, grpcPrefixBytes);
    return this.#stream.send(bytes, start, end);
  }

  /**
   * `send` of a message in three parts: `around` from behind the room for the prefix, with which it begins, to `headEnd`;
   * `body[start, end)`, read where it lies; `around[headEnd, aroundEnd)`.
   */
  sendAround(
    around: Uint8Array,
    headEnd: number,
    aroundEnd: number,
    body: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (this.#isEnded) return true;
    if (!this.#stream.hasSentHeaders) this.#stream.sendHeaders(responseHeaders);
    writePrefix(around, 0, aroundEnd - grpcPrefixBytes + end - start);
    return this.#stream.sendAround(around, headEnd, aroundEnd, body, start, end);
  }

  /** Ends the call; the first status wins. */
  end(status: number = GrpcStatus.Ok, message = ''): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#part = undefined;
    if (status !== GrpcStatus.Ok && !this.#stream.hasSentHeaders) {
      this.#stream.finish(trailersOnly(status, message));
      return;
    }
    this.#stream.sendHeaders(responseHeaders);
    this.#stream.finish(status === GrpcStatus.Ok ? okTrailers : headerBlock(statusFields(status, message)));
  }

  /** While paused, the client can send at most one window more. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && !this.#isEnded) {
      if (this.#part !== undefined) {
        at = this.#continuePart(bytes, at, end);
        continue;
      }
      if (end - at < grpcPrefixBytes) {
        this.#part = newPart(grpcPrefixBytes, true);
        continue;
      }
      const length = this.#messageLength(bytes, at);
      if (length === undefined) return;
      at += grpcPrefixBytes;
      if (length <= end - at) {
        this.#handler?.onMessage(bytes, at, at + length);
        at += length;
      } else {
        this.#part = newPart(length, false);
      }
    }
  }

  onEnd(): void {
    if (this.#isEnded) return;
    if (this.#part !== undefined) this.#fail(GrpcStatus.Internal, 'The request ends inside a message.');
    else this.#handler?.onEnd();
  }

  onGone(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#part = undefined;
    this.#handler?.onCancel();
  }

  onDrain(): void {
    if (!this.#isEnded) this.#handler?.onDrain();
  }

  #continuePart(bytes: Buffer, start: number, end: number): number {
    const part = this.#part!;
    const taken = Math.min(end - start, part.wanted - part.length);
    if (part.length + taken > part.bytes.length) grow(part, part.length + taken);
    bytes.copy(part.bytes, part.length, start, start + taken);
    part.length += taken;
    if (part.length < part.wanted) return start + taken;
    this.#part = undefined;
    if (!part.isPrefix) {
      this.#handler?.onMessage(part.bytes, 0, part.length);
      return start + taken;
    }
    const length = this.#messageLength(part.bytes, 0);
    if (length === 0) this.#handler?.onMessage(part.bytes, 0, 0);
    else if (length !== undefined) this.#part = newPart(length, false);
    return start + taken;
  }

  #messageLength(bytes: Buffer, at: number): number | undefined {
    if (bytes[at] !== 0) {
      this.#fail(GrpcStatus.Unimplemented, 'Messages must not be compressed.');
      return undefined;
    }
    const length =
      bytes[at + 1]! * 0x100_0000 + ((bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!);
    if (length <= this.#maxMessageBytes) return length;
    this.#fail(
      GrpcStatus.ResourceExhausted,
      `Expected a message of at most ${this.#maxMessageBytes} bytes, found ${length}.`,
    );
    return undefined;
  }

  #fail(status: number, message: string): void {
    const handler = this.#handler;
    this.end(status, message);
    handler?.onCancel();
  }
}

const prefix = new Uint8Array(grpcPrefixBytes);

function writePrefix(into: Uint8Array, at: number, messageBytes: number): void {
  into[at] = 0;
  into[at + 1] = messageBytes >>> 24;
  into[at + 2] = messageBytes >>> 16;
  into[at + 3] = messageBytes >>> 8;
  into[at + 4] = messageBytes;
}

interface Part {
  bytes: Buffer;
  length: number;
  /** Length when it is whole. */
  readonly wanted: number;
  readonly isPrefix: boolean;
}

/** A prefix alone must not make us hold as much as it announces. */
function newPart(wanted: number, isPrefix: boolean): Part {
  return { bytes: Buffer.allocUnsafe(Math.min(wanted, initialPartBytes)), length: 0, wanted, isPrefix };
}

function grow(part: Part, needed: number): void {
  const grown = Buffer.allocUnsafe(Math.min(part.wanted, Math.max(needed, part.bytes.length * 2)));
  part.bytes.copy(grown, 0, 0, part.length);
  part.bytes = grown;
}

/** Whether a request is gRPC at all; otherwise HTTP status 415 is the answer the protocol asks for. */
export function isGrpc({ method, contentType }: RequestHead): boolean {
  return method === 'POST' && isGrpcType(contentType);
}

export function isGrpcType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc([+;]|$)/.test(contentType);
}

/** Answer to a request that is not gRPC. */
export function refuseNonGrpc(stream: Http2Stream): void {
  stream.finish(headerBlock([[':status', '415']]));
}

/** The whole of a response that is a status. */
export function trailersOnly(status: number, message: string): Uint8Array {
  return headerBlock([
    [':status', '200'],
    ['content-type', 'application/grpc'],
    ...statusFields(status, message),
  ]);
}

function statusFields(status: number, message: string): [string, string][] {
  const fields: [string, string][] = [['grpc-status', String(status)]];
  // The protocol asks for percent-encoding. By way of a Buffer, since the cut may leave half a character.
  const text = Buffer.from(message.slice(0, maxMessageCharacters)).toString();
  if (text !== '') fields.push(['grpc-message', encodeURIComponent(text)]);
  return fields;
}

/** Literals without indexing (RFC 7541, 6.2.2): stateless, so blocks can be made once and sent on any connection. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Uint8Array {
  const bytes: number[] = [];
  for (const field of fields) {
    bytes.push(0);
    for (const text of field) bytes.push(...stringLiteral(text));
  }
  return Uint8Array.from(bytes);
}

function stringLiteral(text: string): number[] {
  const length = text.length;
  const bytes = [...Buffer.from(text, 'latin1')];
  if (length < 0x7f) return [length, ...bytes];
  const rest = length - 0x7f;
  return rest < 0x80 ? [0x7f, rest, ...bytes] : [0x7f, (rest & 0x7f) | 0x80, rest >>> 7, ...bytes];
}
