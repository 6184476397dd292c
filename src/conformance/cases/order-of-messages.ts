import type { ReplyEvent } from '../client/call.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { requireDestination } from '../destination.ts';
import {
  allDialects,
  type Dialect,
  dialects,
  duplexDialects,
  responseDialects,
  turnDialects,
} from '../dialects.ts';
import { chatBody, post } from '../http-shapes.ts';
import { require, Unmet } from '../outcome.ts';
import type { Session } from '../session.ts';
import { bodyMessage } from '../wire/processing-request.ts';
import { requireBody, requireGoodEnd } from './requirements.ts';

/** Envoy gives up on a reply after this time, unless it is told otherwise. */
const messageTimeoutMs = 200;

/** Of NGINX Gateway Fabric's shim, which opens one for each request: so many at once, so many times. */
const connectionsAtOnce = 16;
const connectionRounds = 8;

/** Order and number of replies, by body mode (ext_proc, `external_processor.proto` and Envoy's filter). */
export const orderCases: readonly ConformanceCase[] = [
  {
    id: 'complete',
    clause: '4.1',
    title: '4.1: request and response go through, and the stream ends with OK after the half-close',
    level: 'MUST',
    dialects: responseDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      requireGoodEnd(exchange);
      require(exchange.headersReply('response') !==
        undefined, 'a response headers reply', exchange.describe());
      return exchange.describe();
    },
  },
  {
    id: 'ngf-eof',
    clause: '4.2',
    title: '4.2: answers a half-closed stream, then ends it: NGINX Gateway Fabric reads to the end',
    level: 'MUST',
    dialects: [dialects.ngf],
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      requireGoodEnd(exchange);
      const value = exchange
        .headersReply('request')
        ?.mutation.set.find(({ name }) => name === 'x-gateway-destination-endpoint');
      require(value?.rawValue !==
        undefined, 'the lower-case header in the headers reply', exchange.describe());
      return exchange.describe();
    },
  },
  {
    id: 'ngf-connections',
    clause: '4.2',
    title: `4.2: ${connectionsAtOnce * connectionRounds} requests on as many connections, ${connectionsAtOnce} at once, are all picked for: NGINX Gateway Fabric keeps none`,
    level: 'MUST',
    dialects: [dialects.ngf],
    async run(session, dialect) {
      session.requirePool();
      for (let round = 0; round < connectionRounds; round++) {
        const runs = Array.from({ length: connectionsAtOnce }, () => onConnectionOfItsOwn(session, dialect));
        const failed = (await Promise.allSettled(runs)).find(({ status }) => status === 'rejected');
        if (failed?.status === 'rejected') throw inRound(round, failed.reason);
      }
      return `${connectionsAtOnce * connectionRounds} connections`;
    },
  },
  {
    id: 'headers-first',
    clause: '4.1',
    title: '4.1: answers the headers before it sees the body, which would else never come',
    level: 'MUST',
    dialects: [...turnDialects, dialects.none],
    async run(session, dialect) {
      const { event, tookMs } = await answerToHeaders(session, dialect);
      const isHeaders = event.kind === 'reply' && event.reply.kind === 'headers';
      require(isHeaders, 'the reply to the headers', event.kind === 'reply' ? event.reply.kind : event.kind);
      return `after ${tookMs} ms`;
    },
  },
  {
    id: 'undeclared-envoy',
    clause: '4.2',
    title: `4.2: without protocol_config, answers lone headers within ${messageTimeoutMs} ms, the patience of an old Envoy`,
    level: 'SHOULD',
    dialects: [dialects.buffered],
    async run(session, dialect) {
      const found: string[] = [];
      // A busy machine may delay one reply, or two.
      for (let attempt = 0; attempt < 3; attempt++) {
        const { event, tookMs } = await answerToHeaders(session, { ...dialect, modes: undefined });
        if (event.kind === 'reply' && tookMs < messageTimeoutMs) return `after ${tookMs} ms`;
        found.push(`${event.kind} after ${tookMs} ms`);
      }
      throw new Unmet(`a reply within ${messageTimeoutMs} ms`, found.join(', '));
    },
  },
  {
    id: 'streamed-without-waiting',
    clause: '4.1',
    title: '4.1: STREAMED without waiting for the headers reply gets one reply for each message',
    level: 'MUST',
    dialects: [dialects.streamed],
    async run(session, dialect) {
      session.requirePool();
      const modes = { ...dialect.modes!, sendsBodyWithoutWaiting: true };
      const exchange = await session.start({ ...dialect, modes });
      const request = session.chat();
      const chunks = request.chunks ?? [];
      exchange.sendRequestHeaders(request);
      for (const [index, chunk] of chunks.entries()) {
        exchange.call.send(bodyMessage('request', chunk, index === chunks.length - 1));
      }
      const kinds: string[] = [];
      for (let i = 0; i < chunks.length + 1; i++) {
        const event = await exchange.call.nextReply(session.timeoutMs);
        kinds.push(event.kind === 'reply' ? event.reply.kind : event.kind);
        if (event.kind !== 'reply') break;
      }
      exchange.cancel();
      const expected = ['headers', ...chunks.map(() => 'body')].join(', ');
      require(kinds.join(', ') === expected, expected, kinds.join(', '));
      return `${kinds.length} replies`;
    },
  },
  {
    id: 'response-without-body',
    clause: '4.1',
    title: '4.1: a response without a body is answered on its headers',
    level: 'MUST',
    dialects: responseDialects,
    async run(session, dialect) {
      const exchange = await session.picked(dialect);
      await exchange.response({ ...session.events(false), status: 204, headers: {}, chunks: [] });
      require(exchange.headersReply('response') !== undefined, 'a headers reply', exchange.describe());
      requireGoodEnd(await exchange.finish());
      return exchange.describe();
    },
  },
  {
    id: 'duplicate-last-chunk',
    clause: '4.1.4',
    title:
      '4.1 rule 4: ignores a body message after end_of_stream, which Envoy ≥ 1.35 sends (envoy issue 46237)',
    level: 'MUST',
    dialects: duplexDialects,
    async run(session, dialect) {
      const exchange = await session.picked(dialect);
      exchange.call.send(bodyMessage('request', 'twice', true));
      await exchange.response(session.events(false));
      await exchange.finish();
      requireBody(exchange, session.chat());
      requireGoodEnd(exchange);
      return exchange.describe();
    },
  },
  {
    id: 'duplicate-before-pick',
    clause: '4.1.4',
    title: '4.1 rule 4: ignores a last chunk that comes twice before the pick',
    level: 'MUST',
    dialects: duplexDialects,
    async run(session, dialect) {
      session.requirePool();
      const body = chatBody(session.options.model);
      const exchange = await session.start({ ...dialect, endsWithEmptyChunk: false });
      exchange.sendRequestHeaders(post(body));
      for (let i = 0; i < 2; i++) exchange.call.send(bodyMessage('request', body, true));
      const bodies: Buffer[] = [];
      for (;;) {
        const event = await exchange.call.nextReply(session.timeoutMs);
        if (event.kind !== 'reply') break;
        if (event.reply.kind !== 'body') continue;
        if (event.reply.body.kind === 'streamed') bodies.push(event.reply.body.bytes);
        if (event.reply.body.kind !== 'streamed' || event.reply.body.endOfStream) break;
      }
      exchange.cancel();
      const found = Buffer.concat(bodies);
      require(found.equals(body), `the ${body.length} bytes once`, `${found.length} bytes`);
      return `${found.length} bytes`;
    },
  },
  {
    id: 'empty-last-chunk',
    clause: '4.1.5',
    title: '4.1 rule 5: an empty chunk with end_of_stream ends the body',
    level: 'MUST',
    dialects: [...duplexDialects, dialects.streamed],
    async run(session, dialect) {
      const exchange = await session.picked({ ...dialect, endsWithEmptyChunk: true });
      await exchange.response(session.events(false));
      requireBody(exchange, session.chat());
      requireGoodEnd(await exchange.finish());
      return exchange.describe();
    },
  },
  {
    id: 'local-reply',
    clause: '4.2',
    title: '4.2: answers response headers that come before the pick, because the data plane replied itself',
    level: 'SHOULD',
    dialects: duplexDialects,
    async run(session, dialect) {
      session.requirePool();
      const exchange = await session.start(dialect);
      exchange.sendRequestHeaders(session.chat());
      await exchange.response({ ...session.events(false), status: 408 });
      require(exchange.headersReply('response') !==
        undefined, 'a response headers reply', exchange.describe());
      const late = exchange.headersReply('request');
      require(late === undefined, 'no reply to the request any more', exchange.describe());
      exchange.cancel();
      return exchange.describe();
    },
  },
  {
    id: 'attributes',
    clause: '4.2',
    title: '4.2: attributes and foreign metadata in the first message change nothing',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      session.requirePool();
      const exchange = await session.start(dialect);
      const attributes = { 'request.path': '/v1/chat/completions', 'source.address': '192.0.2.1:5' };
      const metadata = { 'envoy.filters.http.jwt_authn': { sub: 'someone' } };
      await exchange.request(session.chat(), { attributes, metadata });
      exchange.requirePicked().cancel();
      return requireDestination(exchange);
    },
  },
];

async function onConnectionOfItsOwn(session: Session, dialect: Dialect): Promise<void> {
  const connection = await session.connect();
  try {
    const exchange = await session.startOn(connection, dialect).request(session.chat());
    await exchange.requirePicked().finish();
    requireGoodEnd(exchange);
  } finally {
    connection.close();
  }
}

function inRound(round: number, error: unknown): unknown {
  return error instanceof Unmet ? new Unmet(error.expected, `in round ${round + 1}: ${error.found}`) : error;
}

/** What comes when the headers are sent and nothing else. */
async function answerToHeaders(
  session: Session,
  dialect: Dialect,
): Promise<{ readonly event: ReplyEvent; readonly tookMs: number }> {
  session.requirePool();
  const exchange = await session.start(dialect);
  exchange.sendRequestHeaders(session.chat());
  const startedMs = performance.now();
  const event = await exchange.call.nextReply(session.timeoutMs);
  exchange.cancel();
  return { event, tookMs: Math.round(performance.now() - startedMs) };
}
