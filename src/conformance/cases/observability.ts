import type { ConformanceCase } from '../conformance-case.ts';
import { destinationHeader } from '../destination.ts';
import { dialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import { require } from '../outcome.ts';
import type { Session } from '../session.ts';
import { bodyMessage, headersMessage } from '../wire/processing-request.ts';
import { requireGoodEnd } from './requirements.ts';

/** Observability mode (4.2): the data plane sends copies, waits for nothing and ignores replies. */
export const observabilityCases: readonly ConformanceCase[] = [
  {
    id: 'observability',
    clause: '4.2',
    title:
      '4.2: observability mode: request and response are taken without a pick, and the stream ends with OK',
    level: 'SHOULD',
    dialects: [dialects.streamed, dialects.none],
    async run(session, dialect) {
      const exchange = await session.start({ ...dialect, modes: undefined });
      sendCopies(session, exchange, dialect.requestBody !== 'none');
      requireGoodEnd(await exchange.finish());
      require(destinationHeader(exchange) === undefined, 'no pick', exchange.describe());
      return exchange.describe();
    },
  },
  {
    id: 'observability-silent',
    clause: '4.2',
    title: '4.2: observability mode: nothing is replied, as nobody reads it',
    level: 'SHOULD',
    dialects: [dialects.streamed],
    async run(session, dialect) {
      const exchange = await session.start({ ...dialect, modes: undefined });
      sendCopies(session, exchange, true);
      await exchange.finish();
      require(exchange.replies.length === 0, 'no reply', exchange.describe());
      return exchange.describe();
    },
  },
  {
    id: 'observability-cut',
    clause: '4.2',
    title: '4.2: observability mode: a copy that breaks off harms no other request',
    level: 'MUST',
    dialects: [dialects.streamed],
    async run(session, dialect) {
      const exchange = await session.start({ ...dialect, modes: undefined });
      exchange.sendRequestHeaders(session.chat(), { isObservedOnly: true });
      exchange.cancel();
      return (await session.picked(dialects.duplex)).cancel().describe();
    },
  },
];

function sendCopies(session: Session, exchange: Exchange, hasBodies: boolean): void {
  const { call } = exchange;
  const request = session.chat();
  exchange.sendRequestHeaders(request, { isObservedOnly: true });
  const send = (direction: 'request' | 'response', chunks: readonly Uint8Array[]) => {
    for (const [at, chunk] of chunks.entries())
      call.send(bodyMessage(direction, chunk, at === chunks.length - 1));
  };
  if (hasBodies) send('request', request.chunks ?? []);
  const { headers, chunks } = session.events(false);
  call.send(headersMessage('response', { ':status': '200', ...headers }, { isObservedOnly: true }));
  if (hasBodies) send('response', chunks);
}
