import type { ConformanceCase } from '../conformance-case.ts';
import { requireDestination } from '../destination.ts';
import { duplexDialects, turnDialects } from '../dialects.ts';
import { require } from '../outcome.ts';
import { requireBody, requireNoEnd } from './requirements.ts';

const streaming = [...duplexDialects, ...turnDialects];

/** A body that ends with trailers has no `end_of_stream`; gRPC engines always end so (4.1 rule 3). */
export const trailerCases: readonly ConformanceCase[] = [
  {
    id: 'request-trailers',
    clause: '4.1.3',
    title:
      '4.1 rule 3: a request that ends with trailers gets its body without end_of_stream, then their reply',
    level: 'MUST',
    dialects: streaming,
    async run(session, dialect) {
      const request = session.chat({ hasTrailers: true });
      const exchange = await session.picked(dialect, request);
      exchange.cancel();
      require(exchange.hasTrailersReply('request'), 'a reply to the trailers', exchange.describe());
      requireNoEnd(exchange, 'request');
      requireBody(exchange, request);
      return exchange.describe();
    },
  },
  {
    id: 'request-trailers-alone',
    clause: '4.1.3',
    title: '4.1 rule 3: a request of headers and trailers alone is answered, in full duplex with a pick',
    level: 'MUST',
    dialects: duplexDialects,
    async run(session, dialect) {
      const request = session.chat({ method: 'GET', path: '/v1/models', chunks: [], hasTrailers: true });
      const exchange = await session.picked(dialect, request);
      exchange.cancel();
      require(exchange.hasTrailersReply('request'), 'a reply to the trailers', exchange.describe());
      return requireDestination(exchange);
    },
  },
  {
    id: 'response-trailers',
    clause: '4.1.3',
    title:
      '4.1 rule 3: a response that ends with trailers gets its body without end_of_stream, then their reply',
    level: 'MUST',
    dialects: streaming,
    async run(session, dialect) {
      const response = { ...session.events(false), hasTrailers: true };
      const exchange = await session.picked(dialect);
      await exchange.response(response);
      require(exchange.hasTrailersReply('response'), 'a reply to the trailers', exchange.describe());
      requireNoEnd(exchange, 'response');
      const sent = Buffer.concat(response.chunks);
      const found = exchange.body('response');
      require(found.equals(sent), `all ${sent.length} bytes before it`, `${found.length} bytes`);
      await exchange.finish();
      return exchange.describe();
    },
  },
  {
    id: 'response-trailers-alone',
    clause: '4.1.3',
    title: '4.1 rule 3: a response of headers and trailers alone is answered',
    level: 'MUST',
    dialects: streaming,
    async run(session, dialect) {
      const exchange = await session.picked(dialect);
      await exchange.response({ ...session.events(false), headers: {}, chunks: [], hasTrailers: true });
      require(exchange.hasTrailersReply('response'), 'a reply to the trailers', exchange.describe());
      await exchange.finish();
      return exchange.describe();
    },
  },
];
