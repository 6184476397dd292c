import { grpcMessage } from '../client/call.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { dialects } from '../dialects.ts';
import type { Exchange } from '../exchange.ts';
import type { Session } from '../session.ts';
import { bodyMessage, headersMessage } from '../wire/processing-request.ts';
import { requireAlive, requireOver } from './requirements.ts';

/** Places of an exchange at which a data plane may stop. */
const states: readonly {
  readonly id: string;
  readonly title: string;
  readonly reach: (session: Session, exchange: Exchange) => Promise<unknown>;
}[] = [
  { id: 'idle', title: 'before any message', reach: async () => {} },
  {
    id: 'headers',
    title: 'after the request headers',
    reach: async (session, exchange) => exchange.sendRequestHeaders(session.chat()),
  },
  {
    id: 'cut-message',
    title: 'inside a message',
    reach: async (session, exchange) => {
      exchange.sendRequestHeaders(session.chat());
      exchange.call.sendBytes(grpcMessage(bodyMessage('request', 'cut', true)).subarray(0, 7));
    },
  },
  {
    id: 'body',
    title: 'inside the request body',
    reach: async (session, exchange) => {
      exchange.sendRequestHeaders(session.chat());
      exchange.call.send(bodyMessage('request', '{"model":', false));
    },
  },
  {
    id: 'asked',
    title: 'at the end of the request, before the pick',
    reach: async (session, exchange) => exchange.sendAtOnce(session.chat()),
  },
  {
    id: 'picked',
    title: 'after the pick',
    reach: async (session, exchange) => exchange.request(session.chat()),
  },
  { id: 'response', title: 'inside the response', reach: reachResponse },
  {
    id: 'done',
    title: 'after the last reply, as Envoy does when it closes early',
    reach: async (session, exchange) => {
      await exchange.request(session.chat());
      await exchange.response(session.events(false));
    },
  },
];

/** Whatever a data plane breaks off, the stream ends and the next request is served. */
export const closingCases: readonly ConformanceCase[] = states.flatMap(({ id, title, reach }) => {
  const common = { clause: '4.2', level: 'MUST', dialects: [dialects.duplex] } as const;
  return [
    {
      ...common,
      id: `half-close-${id}`,
      title: `4.2: half-closed ${title}: the stream ends`,
      run: async (session) => {
        session.requirePool();
        const exchange = await session.start(dialects.duplex);
        await reach(session, exchange);
        return requireOver(session, exchange);
      },
    },
    {
      ...common,
      id: `reset-${id}`,
      title: `4.2: reset ${title}: the next request on the connection is served`,
      run: async (session) => {
        session.requirePool();
        const exchange = await session.start(dialects.duplex);
        await reach(session, exchange);
        exchange.cancel();
        return requireAlive(session);
      },
    },
    {
      ...common,
      id: `cut-${id}`,
      title: `4.2: the connection is lost ${title}: the next connection is served`,
      run: async (session) => {
        session.requirePool();
        const connection = await session.connect();
        await reach(session, session.startOn(connection, dialects.duplex));
        connection.close();
        return requireAlive(session);
      },
    },
  ];
});

/** Streams that are opened and reset at once, as by many clients that go away. */
const resetCount = 200;

export const resetFlood: ConformanceCase = {
  id: 'reset-many',
  clause: '4.2',
  title: `4.2: ${resetCount} requests that are reset before their pick leave nothing behind`,
  level: 'MUST',
  dialects: [dialects.duplex],
  async run(session) {
    session.requirePool();
    const connection = await session.shared();
    for (let i = 0; i < resetCount; i++) {
      const exchange = session.startOn(connection, dialects.duplex);
      exchange.sendAtOnce(session.chat());
      exchange.cancel();
    }
    return requireAlive(session);
  },
};

async function reachResponse(session: Session, exchange: Exchange): Promise<void> {
  await exchange.request(session.chat());
  exchange.call.send(headersMessage('response', { ':status': '200', 'content-type': 'text/event-stream' }));
  exchange.call.send(bodyMessage('response', 'data: {"choi', false));
  await exchange.call.nextReply(session.timeoutMs);
}
