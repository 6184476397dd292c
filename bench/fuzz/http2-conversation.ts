import { connect } from 'node:http2';
import type { Dice } from './dice.ts';
import { MemorySocket } from './memory-socket.ts';

/** What a client sends on one connection: the preface, then frames, each a buffer of its own. */
export type Conversation = readonly Buffer[];

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(
  type: number,
  flags: number,
  id: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id >>> 0, 5);
  return Buffer.concat([head, payload]);
}

/** The frames of a byte stream that begins with the preface. */
export function splitFrames(bytes: Buffer): Buffer[] {
  const parts = [bytes.subarray(0, preface.length)];
  let at = preface.length;
  while (bytes.length - at >= 9) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** A valid conversation of gRPC calls, with all that is allowed around them. */
export function randomConversation(dice: Dice): Conversation {
  const parts = [preface, settings(dice)];
  if (dice.chance(0.5)) parts.push(frame(8, 0, 0, uint32(1 + dice.below(1 << 24))));
  const waiting = Array.from({ length: 1 + dice.below(4) }, (_, i) => call(dice, 2 * i + 1));
  const open: Buffer[][][] = [];
  // Frames of the calls in turn, each call's in order, and new calls in order of their ids.
  while (waiting.length > 0 || open.length > 0) {
    const isOpening = waiting.length > 0 && (open.length === 0 || dice.chance(0.3));
    if (isOpening) open.push(waiting.shift()!);
    const turn = isOpening ? open.length - 1 : dice.below(open.length);
    parts.push(...open[turn]!.shift()!);
    if (open[turn]!.length === 0) open.splice(turn, 1);
    if (dice.chance(0.1)) parts.push(between(dice));
  }
  if (dice.chance(0.1)) parts.push(frame(7, 0, 0, Buffer.concat([uint32(0), uint32(0)])));
  return parts;
}

/** Steps of one call; the frames of a step must stay together. */
function call(dice: Dice, id: number): Buffer[][] {
  const steps = [headers(dice, id, dice.oneOf([block, indexedBlock]), 0)];
  const messages = Array.from({ length: dice.below(4) }, () => grpcMessage(dice));
  let bytes = Buffer.concat(messages);
  while (bytes.length > 0) {
    const taken = dice.chance(0.5) ? bytes.length : 1 + dice.below(bytes.length);
    steps.push([data(dice, id, bytes.subarray(0, Math.min(taken, 16_000)))]);
    bytes = bytes.subarray(Math.min(taken, 16_000));
    if (dice.chance(0.1)) steps.push([frame(8, 0, id, uint32(1 + dice.below(100_000)))]);
  }
  if (dice.chance(0.1)) steps.push([frame(3, 0, id, uint32(8))]);
  else if (dice.chance(0.2)) steps.push(headers(dice, id, trailerBlock, 1));
  else if (dice.chance(0.9)) steps.push([frame(0, 1, id)]);
  return steps;
}

const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
const literal = (first: number, name: string, value: string) =>
  Buffer.concat([Buffer.from([first]), text(name), text(value)]);
const path = literal(0, ':path', '/fuzz/Echo');
/** Literals without indexing. */
const block = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  path,
  literal(0, 'content-type', 'application/grpc'),
  literal(0x10, 'te', 'trailers'),
]);
/** With incremental indexing, Huffman coding and a table size update. */
const indexedBlock = Buffer.concat([
  Buffer.from([0x3f, 0x61, 0x3f, 0xe1, 0x1f, 0x83, 0x86]),
  path,
  literal(0x40, 'content-type', 'application/grpc'),
  Buffer.from('4085f2b24a84ff849c48aca4', 'hex'),
  Buffer.from([0xbe]),
]);
const trailerBlock = literal(0, 'x-checksum', '1');

function headers(dice: Dice, id: number, fields: Buffer, endStream: number): Buffer[] {
  const isPadded = dice.chance(0.1);
  const hasPriority = dice.chance(0.1);
  const padding = isPadded ? dice.below(20) : 0;
  const cut = dice.chance(0.2) ? dice.below(fields.length) : fields.length;
  const payload = Buffer.concat([
    isPadded ? Buffer.from([padding]) : Buffer.alloc(0),
    hasPriority ? Buffer.from([0, 0, 0, 0, 16]) : Buffer.alloc(0),
    fields.subarray(0, cut),
    Buffer.alloc(padding),
  ]);
  const isWhole = cut === fields.length;
  const flags = endStream | (isWhole ? 4 : 0) | (isPadded ? 8 : 0) | (hasPriority ? 0x20 : 0);
  const first = frame(1, flags, id, payload);
  return isWhole ? [first] : [first, frame(9, 4, id, fields.subarray(cut))];
}

function data(dice: Dice, id: number, bytes: Buffer): Buffer {
  if (!dice.chance(0.2)) return frame(0, 0, id, bytes);
  const padding = dice.below(256);
  return frame(0, 8, id, Buffer.concat([Buffer.from([padding]), bytes, Buffer.alloc(padding)]));
}

function grpcMessage(dice: Dice): Buffer {
  const bytes = Buffer.alloc(dice.chance(0.05) ? dice.below(60_000) : dice.below(300), dice.below(256));
  return Buffer.concat([Buffer.from([0]), uint32(bytes.length), bytes]);
}

function settings(dice: Dice): Buffer {
  const entries: Buffer[] = [];
  if (dice.chance(0.3)) entries.push(setting(4, dice.oneOf([0, 1, 100, 65_535, 1 << 24, 1 << 30])));
  if (dice.chance(0.2)) entries.push(setting(1, dice.below(10_000)));
  if (dice.chance(0.2)) entries.push(setting(5, 16_384 + dice.below(100_000)));
  return frame(4, 0, 0, Buffer.concat(entries));
}

function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

function between(dice: Dice): Buffer {
  return dice.oneOf([
    () => frame(6, dice.below(2), 0, dice.bytes(8)),
    () => settings(dice),
    () => frame(4, 1, 0),
    () => frame(2, 0, 1 + 2 * dice.below(9), Buffer.from([0, 0, 0, 0, 16])),
    () => frame(8, 0, 0, uint32(1 + dice.below(1000))),
    () => frame(0x20 + dice.below(200), dice.below(256), dice.below(10), dice.bytes(dice.below(20))),
  ])();
}

/** What the client of `node:http2`, nghttp2, sends for three calls: Huffman coding and a dynamic table. */
export async function recordedConversation(): Promise<Conversation> {
  const socket = new MemorySocket();
  const session = connect('http://fuzz', { createConnection: () => socket });
  session.on('error', () => {});
  for (let i = 0; i < 3; i++) {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/fuzz/Echo',
      'content-type': 'application/grpc',
      'user-agent': 'recorded/1.0',
      'x-request-id': `00000000-0000-4000-8000-00000000000${i}`,
    });
    stream.on('error', () => {});
    stream.end(Buffer.from([0, 0, 0, 0, 3, i, i, i]));
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  session.destroy();
  return splitFrames(Buffer.concat(socket.sent));
}
