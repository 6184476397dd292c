import { describeEnd, grpcMessage } from '../client/call.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { type Dialect, dialects } from '../dialects.ts';
import { firstMessage } from '../exchange.ts';
import { type Level, require } from '../outcome.ts';
import type { Session } from '../session.ts';
import { bodyMessage, headersMessage, trailersMessage } from '../wire/processing-request.ts';
import { bytesField, messageField, varint, varintField } from '../wire/protobuf.ts';
import { requireBody, requireOver } from './requirements.ts';

interface Junk {
  readonly id: string;
  readonly title: string;
  readonly level: Level;
  /** Bytes of the stream, with their gRPC framing. */
  readonly bytes: (session: Session) => Buffer;
}

const junk: readonly Junk[] = [
  { id: 'random', title: 'random bytes as a message', level: 'MUST', bytes: () => grpcMessage(noise(400)) },
  {
    id: 'empty-message',
    title: 'an empty message',
    level: 'MUST',
    bytes: () => grpcMessage(Buffer.alloc(0)),
  },
  {
    id: 'truncated',
    title: 'a message that ends inside a field',
    level: 'MUST',
    bytes: (session) => grpcMessage(firstMessage(dialects.duplex, session.chat()).subarray(0, 60)),
  },
  {
    id: 'lengths',
    title: 'a field that claims 2 GiB',
    level: 'MUST',
    bytes: () => grpcMessage(Buffer.concat([varint((2 << 3) | 2), varint(0x7fff_ffff), Buffer.from('x')])),
  },
  {
    id: 'varint',
    title: 'a varint without an end',
    level: 'MUST',
    bytes: () => grpcMessage(Buffer.alloc(64, 0xff)),
  },
  {
    id: 'wire-type',
    title: 'request headers with the wire type of a number',
    level: 'MUST',
    bytes: () => grpcMessage(varintField(2, 7)),
  },
  {
    id: 'utf8',
    title: 'a header whose name is no UTF-8',
    level: 'MUST',
    bytes: () => {
      const header = messageField(1, bytesField(1, Buffer.from([0xff, 0xfe, 0x80])), bytesField(3, 'x'));
      return grpcMessage(messageField(2, messageField(1, header)));
    },
  },
  {
    id: 'prefix-length',
    title: 'a message that claims 4 GiB',
    level: 'MUST',
    bytes: () => Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
  },
  {
    id: 'compressed',
    title: 'a message flagged as compressed, without an encoding',
    level: 'MUST',
    bytes: (session) => {
      const bytes = grpcMessage(firstMessage(dialects.duplex, session.chat()));
      bytes[0] = 1;
      return bytes;
    },
  },
  {
    id: 'body-first',
    title: 'a body without headers',
    level: 'MUST',
    bytes: () => grpcMessage(bodyMessage('request', '{}', true)),
  },
  {
    id: 'trailers-first',
    title: 'trailers without headers',
    level: 'MUST',
    bytes: () => grpcMessage(trailersMessage('request', { 'x-end': '1' })),
  },
  {
    id: 'response-first',
    title: 'a response without a request',
    level: 'MUST',
    bytes: () => grpcMessage(headersMessage('response', { ':status': '200' }, { endOfStream: true })),
  },
  {
    id: 'headers-twice',
    title: 'request headers twice',
    level: 'MUST',
    bytes: (session) => {
      const first = grpcMessage(firstMessage(dialects.duplex, session.chat()));
      return Buffer.concat([first, first]);
    },
  },
];

export const junkCases: readonly ConformanceCase[] = [
  ...junk.map(
    ({ id, title, level, bytes }): ConformanceCase => ({
      id: `junk-${id}`,
      clause: '1',
      title: `1: ${title}: the stream ends, and the next request is served`,
      level,
      dialects: 'any',
      run: async (session) => {
        session.requirePool();
        const exchange = await session.start(dialects.duplex);
        exchange.call.sendBytes(bytes(session));
        return requireOver(session, exchange);
      },
    }),
  ),
  {
    id: 'unknown-fields',
    clause: '1',
    title: '1: fields of a later protocol are passed over',
    level: 'MUST',
    dialects: [dialects.duplex],
    run: async (session, dialect) =>
      passesOver(session, dialect, (message) => [Buffer.concat([message, later])]),
  },
  {
    id: 'unknown-kinds',
    clause: '1',
    title: '1: messages of a kind that a later protocol adds are passed over',
    level: 'SHOULD',
    dialects: [dialects.duplex],
    run: async (session, dialect) => passesOver(session, dialect, (message) => [later, message]),
  },
  {
    id: 'unknown-method',
    clause: '1',
    title: '1: a method that is not there is gRPC status 12 (UNIMPLEMENTED)',
    level: 'SHOULD',
    dialects: 'any',
    async run(session) {
      const connection = await session.shared();
      const call = connection.openCall('/envoy.service.ext_proc.v3.ExternalProcessor/Nothing');
      const event = await call.halfClose().next(session.timeoutMs);
      const code = event.kind === 'end' && event.end.kind === 'status' ? event.end.code : undefined;
      require(code === 12, 'gRPC status 12', event.kind === 'end' ? describeEnd(event.end) : event.kind);
      return 'gRPC status 12';
    },
  },
];

const later = messageField(77, bytesField(1, 'later'));

async function passesOver(
  session: Session,
  dialect: Dialect,
  extend: (message: Buffer) => readonly Buffer[],
): Promise<string> {
  session.requirePool();
  const exchange = await session.start(dialect);
  const request = session.chat();
  exchange.sendAtOnce(request, {}, (messages) => {
    for (const message of messages.flatMap(extend)) exchange.call.send(message);
  });
  await exchange.answersToRequest(request);
  exchange.requirePicked().cancel();
  requireBody(exchange, request);
  return exchange.describe();
}

/** The same in every run. */
function noise(bytes: number): Buffer {
  let state = 1;
  return Buffer.from(
    Array.from({ length: bytes }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return state >>> 24;
    }),
  );
}
