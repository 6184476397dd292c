import type { ClientConnection } from '../client/connection.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { dialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import { require } from '../outcome.ts';
import type { Session } from '../session.ts';
import { bodyMessage, headersMessage } from '../wire/processing-request.ts';

/** What the data plane takes before it stops: the least that HTTP/2 starts with. */
const reading = { streamWindowBytes: 65_535, grants: false };
const chunk = Buffer.alloc(60_000, 'x');
/** Offered to the picker while nothing of its echo is taken. */
const offeredBytes = 48 << 20;
/** A picker may hold what its own windows allow, and no more. */
const heldBytes = 20 << 20;
const chunks = Math.ceil(offeredBytes / chunk.length);
/** Time in which a picker that does not hold back has surely taken what it was offered. */
const settleMs = 500;

/** A data plane whose client stops reading: full duplex has no queue but HTTP/2's windows (4.2, flow control). */
export const slowReaderCases: readonly ConformanceCase[] = [
  {
    id: 'slow-reader-bounded',
    clause: '4.2',
    title: `4.2: flow control: a data plane that stops reading is not read for ever: at most ${heldBytes >> 20} MiB are taken`,
    level: 'MUST',
    dialects: [dialects.duplex],
    run: (session) =>
      withSlowReader(session, async (exchange) => {
        const taken = await untilStalled(exchange);
        require(taken <= heldBytes, `at most ${heldBytes} bytes taken`, `${taken} bytes`);
        return `${(taken / 1e6).toFixed(1)} MB`;
      }),
  },
  {
    id: 'slow-reader-others',
    clause: '4.2',
    title: '4.2: flow control: while one data plane does not read, others are served',
    level: 'MUST',
    dialects: [dialects.duplex],
    run: (session, dialect) =>
      withSlowReader(session, async (exchange) => {
        await untilStalled(exchange);
        return (await session.picked(dialect)).cancel().describe();
      }),
  },
  {
    id: 'slow-reader-resumes',
    clause: '4.2',
    title:
      '4.2: flow control: a data plane that reads again gets every byte, and the stream ends: it was not dead',
    level: 'MUST',
    dialects: [dialects.duplex],
    run: (session) =>
      withSlowReader(session, async (exchange, connection) => {
        await untilStalled(exchange);
        connection.readOn();
        let bytes = 0;
        for (;;) {
          const event = await exchange.call.nextReply(session.timeoutMs);
          const what = `all of the ${chunks * chunk.length} bytes`;
          if (event.kind !== 'reply') require(false, what, `${event.kind} after ${bytes}`);
          const { reply } = event;
          if (reply.kind !== 'body' || reply.body.kind !== 'streamed') continue;
          bytes += reply.body.bytes.length;
          if (!reply.body.endOfStream) continue;
          require(bytes === chunks * chunk.length, what, `${bytes}`);
          return `${bytes} bytes`;
        }
      }),
  },
];

/** A long response of which nothing is taken beyond the first window. */
async function withSlowReader(
  session: Session,
  judge: (exchange: Exchange, connection: ClientConnection) => Promise<string>,
): Promise<string> {
  session.requirePool();
  const connection = await session.connect(session.options.target, reading);
  try {
    const exchange = session.startOn(connection, dialects.duplex);
    (await exchange.request(session.chat())).requirePicked();
    const headers = { ':status': '200', 'content-type': 'application/octet-stream' };
    exchange.call.send(headersMessage('response', headers));
    for (let at = 0; at < chunks; at++) exchange.call.send(bodyMessage('response', chunk, at === chunks - 1));
    return await judge(exchange, connection);
  } finally {
    connection.close();
  }
}

/** Waits until the picker takes no more; gives the bytes that it took. */
async function untilStalled({ call }: Exchange): Promise<number> {
  for (;;) {
    const before = call.unsentBytes;
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    if (call.unsentBytes === before) return offeredBytes - before;
  }
}
