import type { Direction } from '../messages.ts';

/**
 * The two messages that an exchange may have hundreds of, with nothing to them but a piece of a body: a `response_body`
 * that comes, and the `streamed_response` that goes. Read and written without an object or a copy for each; with
 * `decodeRequest` and `encodeResponse`, the same to the byte.
 */

/** ProcessingRequest.response_body */
const responseBodyTag = (5 << 3) | 2;
/** HttpBody.body */
const bodyTag = (1 << 3) | 2;
/** HttpBody.end_of_stream */
const endTag = 2 << 3;

/** Where a piece lies in the bytes that were read last. One serves all streams. */
export class PieceReader {
  start = 0;
  end = 0;
  endOfStream = false;

  /** False for any message that has more or less to it, or is of another kind, or broken: `decodeRequest` tells. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    // A tag and a length twice, at least; of two bytes at most, as lengths to come are read without a look at the end.
    if (end - start < 7 || bytes[start] !== responseBodyTag) return false;
    let at = start + 1;
    let length = bytes[at++]!;
    if (length >= 0x80) {
      length = (length & 0x7f) | (bytes[at++]! << 7);
      if (length >= 0x4000) return false;
    }
    if (at + length !== end || bytes[at++] !== bodyTag) return false;
    length = bytes[at++]!;
    if (length >= 0x80) {
      length = (length & 0x7f) | (bytes[at++]! << 7);
      if (length >= 0x4000) return false;
    }
    const bodyEnd = at + length;
    // Behind the body nothing, or the end told as true or, as some do, as false.
    if (bodyEnd !== end && !(bodyEnd + 2 === end && bytes[bodyEnd] === endTag && bytes[bodyEnd + 1]! <= 1))
      return false;
    this.start = at;
    this.end = bodyEnd;
    this.endOfStream = bodyEnd !== end && bytes[bodyEnd + 1] === 1;
    return true;
  }
}

/** ProcessingResponse.request_body and .response_body. */
const requestReplyTag = (3 << 3) | 2;
const responseReplyTag = (4 << 3) | 2;
/** CommonResponse */
const commonTag = (1 << 3) | 2;
/** CommonResponse.body_mutation, BodyMutation.streamed_response */
const mutationTag = (3 << 3) | 2;

/** Bytes that stand behind the body of the last piece. */
export const endOfStreamBytes = 2;
/** Bytes that stand around the body of a piece, at most. */
export const maxBytesAround = 5 * (1 + 5) + endOfStreamBytes;

/**
 * Writes what stands around a body of `bodyBytes` into `around` from `at`: what is before it, whose end is returned, and
 * right there what is behind it, `endOfStreamBytes` if `endOfStream`.
 */
export function writeAround(
  around: Uint8Array,
  at: number,
  direction: Direction,
  bodyBytes: number,
  endOfStream: boolean,
): number {
  const tail = endOfStream ? endOfStreamBytes : 0;
  const streamed = (bodyBytes > 0 ? fieldBytes(bodyBytes) : 0) + tail;
  const mutation = fieldBytes(streamed);
  const common = fieldBytes(mutation);
  let next = writeHead(
    around,
    at,
    direction === 'request' ? requestReplyTag : responseReplyTag,
    fieldBytes(common),
  );
  next = writeHead(around, next, commonTag, common);
  next = writeHead(around, next, mutationTag, mutation);
  next = writeHead(around, next, mutationTag, streamed);
  if (bodyBytes > 0) next = writeHead(around, next, bodyTag, bodyBytes);
  if (endOfStream) {
    around[next] = endTag;
    around[next + 1] = 1;
  }
  return next;
}

/** Of a field with so many bytes in it, tag and length included. */
function fieldBytes(bytes: number): number {
  return (
    bytes + (bytes < 0x80 ? 2 : bytes < 0x4000 ? 3 : bytes < 0x20_0000 ? 4 : bytes < 0x1000_0000 ? 5 : 6)
  );
}

function writeHead(head: Uint8Array, start: number, tag: number, length: number): number {
  let at = start;
  head[at++] = tag;
  let rest = length;
  for (; rest >= 0x80; rest >>>= 7) head[at++] = (rest & 0x7f) | 0x80;
  head[at++] = rest;
  return at;
}
