import { grpcMessage } from '../client/call.ts';
import type { ClientConnection } from '../client/connection.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { type Dialect, dialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import { chatBody, type HttpRequest, inChunks, post } from '../http-shapes.ts';
import { Unmet } from '../outcome.ts';
import type { Session } from '../session.ts';
import { requireBody } from './requirements.ts';

const framingDialects: readonly Dialect[] = [dialects.duplex, dialects.ngf];
const streamsAtOnce = 100;
/** Long enough for the peer to read what was written. */
const pauseMs = 1;

/** Sends the request of one exchange in its own way; called for each place of a cut. */
type Sender = (
  connection: ClientConnection,
  start: () => Exchange,
  at: number,
) => Promise<Exchange | 'no place'>;

/** Where bytes are cut on their way is nobody's choice: every cut must give the same answer. */
export const framingCases: readonly ConformanceCase[] = [
  {
    id: 'split-tcp',
    clause: '1',
    title: '1: the bytes of a request, cut in two at every place of the HTTP/2 framing',
    level: 'MUST',
    dialects: framingDialects,
    run: async (session, dialect) =>
      atEveryPlace(session, dialect, async (connection, start, at) => {
        let exchange: Exchange | undefined;
        const bytes = connection.capture(() => {
          exchange = start();
          exchange.sendAtOnce(splitRequest(session));
        });
        await connection.sendInTwo(bytes, at, pauseMs);
        return at < bytes.length ? exchange! : 'no place';
      }),
  },
  {
    id: 'split-data',
    clause: '1',
    title: '1: the messages of a request, cut at every place over two DATA frames',
    level: 'MUST',
    dialects: framingDialects,
    run: async (session, dialect) =>
      atEveryPlace(session, dialect, async (_connection, start, at) => {
        const exchange = start();
        let isCut = true;
        exchange.sendAtOnce(splitRequest(session), {}, (messages) => {
          const bytes = Buffer.concat(messages.map(grpcMessage));
          isCut = at < bytes.length;
          exchange.call.sendBytes(bytes.subarray(0, at)).sendBytes(bytes.subarray(at));
        });
        return isCut ? exchange : 'no place';
      }),
  },
  {
    id: 'split-every-byte',
    clause: '1',
    title: '1: the messages of a request, one DATA frame for each byte',
    level: 'MUST',
    dialects: framingDialects,
    run: async (session, dialect) =>
      once(session, dialect, (exchange, messages) => {
        for (const byte of Buffer.concat(messages.map(grpcMessage)))
          exchange.call.sendBytes(Buffer.from([byte]));
      }),
  },
  {
    id: 'empty-data',
    clause: '1',
    title: '1: empty DATA frames between the messages',
    level: 'MUST',
    dialects: framingDialects,
    run: async (session, dialect) =>
      once(session, dialect, (exchange, messages) => {
        const nothing = Buffer.alloc(0);
        for (const message of messages) exchange.call.sendBytes(nothing).send(message).sendBytes(nothing);
      }),
  },
  {
    id: 'interleaved',
    clause: '1',
    title: `1: ${streamsAtOnce} requests at once on one connection get each their own body back`,
    level: 'MUST',
    dialects: [dialects.duplex],
    async run(session, dialect) {
      session.requirePool();
      const connection = await session.connect();
      const runs = Array.from({ length: streamsAtOnce }, async (_, i) => {
        const body = chatBody(session.options.model, { user: `number ${i} `.repeat(i + 1) });
        const request = post(body, { chunks: inChunks(body, 50) });
        const exchange = await session.startOn(connection, dialect).request(request);
        exchange.requirePicked();
        requireBody(exchange, request);
        await exchange.response(session.events(false));
        await exchange.finish();
      });
      const results = await Promise.allSettled(runs);
      connection.close();
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return `${streamsAtOnce} bodies`;
    },
  },
];

function splitRequest(session: Session): HttpRequest {
  return post(chatBody(session.options.model));
}

async function atEveryPlace(session: Session, dialect: Dialect, send: Sender): Promise<string> {
  session.requirePool();
  const connection = await session.connect();
  const start = () => session.startOn(connection, dialect);
  try {
    // The first exchange learns the settings of the server.
    await start().request(splitRequest(session));
    for (let at = 1; ; at++) {
      const exchange = await send(connection, start, at);
      if (exchange === 'no place') return `${at - 1} places`;
      await exchange.answersToRequest(splitRequest(session));
      try {
        exchange.requirePicked();
        requireBody(exchange, splitRequest(session));
      } catch (error) {
        if (error instanceof Unmet) throw new Unmet(error.expected, `cut at byte ${at}: ${error.found}`);
        throw error;
      }
      exchange.cancel();
    }
  } finally {
    connection.close();
  }
}

async function once(
  session: Session,
  dialect: Dialect,
  send: (exchange: Exchange, messages: readonly Buffer[]) => void,
): Promise<string> {
  session.requirePool();
  const exchange = await session.start(dialect);
  exchange.sendAtOnce(splitRequest(session), {}, (messages) => send(exchange, messages));
  await exchange.answersToRequest(splitRequest(session));
  exchange.requirePicked().cancel();
  requireBody(exchange, splitRequest(session));
  return exchange.describe();
}
