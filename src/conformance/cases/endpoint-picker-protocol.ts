import type { ConformanceCase } from '../conformance-case.ts';
import {
  destinationHeader,
  destinationMetadata,
  effectiveDestination,
  isAddress,
  metadataDestination,
  requireDestination,
} from '../destination.ts';
import { allDialects, type Dialect, dialects, duplexDialects, responseDialects } from '../dialects.ts';
import { get } from '../http-shapes.ts';
import { NotJudged, require } from '../outcome.ts';
import type { Session } from '../session.ts';

/** Clauses 1 to 12 of the Endpoint Picker Protocol (proposal 004) that bind an endpoint picker, without 3 and 4. */
export const protocolCases: readonly ConformanceCase[] = [
  {
    id: 'service',
    clause: '1',
    title: '1: implements envoy.service.ext_proc.v3.ExternalProcessor',
    level: 'MUST',
    dialects: 'any',
    async run(session) {
      const exchange = await session.ask(dialects.duplex);
      require(exchange.replies.length > 0, 'replies to a stream of Process', exchange.describe());
      return exchange.describe();
    },
  },
  {
    id: 'duplex-request',
    clause: '2',
    title: '2: takes a request in full duplex, and lets all of it through',
    level: 'MUST',
    dialects: duplexDialects,
    async run(session, dialect) {
      const exchange = await session.standard(dialect);
      const sent = Buffer.concat(session.chat().chunks ?? []);
      require(exchange.body('request').equals(sent), `${sent.length} bytes of body`, exchange.describe());
      return `${sent.length} bytes`;
    },
  },
  {
    id: 'duplex-response',
    clause: '2',
    title: '2: passes a streamed response on token by token, each piece at once',
    level: 'MUST',
    dialects: duplexDialects,
    async run(session, dialect) {
      const events = session.events(true);
      const exchange = await session.picked(dialect);
      await exchange.response(events);
      await exchange.finish();
      const sent = Buffer.concat(events.chunks);
      const isWhole = exchange.body('response').equals(sent);
      require(isWhole, `each of ${events.chunks.length} pieces before the next one`, exchange.describe());
      return `${events.chunks.length} pieces`;
    },
  },
  {
    id: 'pool',
    clause: '5',
    title: '5: without a subset, picks from its pool',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      const destination = await pickedBy(session, dialect);
      const { endpoints, areEndpointsCertain } = session.options;
      const isOfPool = destination.split(',').every((address) => endpoints.includes(address));
      if (!isOfPool && !areEndpointsCertain) {
        throw new NotJudged(`picked ${destination}; tell the addresses of its pool with --endpoint`);
      }
      require(isOfPool, `one of ${endpoints.join(', ')}`, destination);
      return destination;
    },
  },
  {
    id: 'pool-spread',
    clause: '5',
    title: '5: requests that are open together are spread over the pool',
    level: 'INFO',
    dialects: 'any',
    async run(session) {
      const seen = session.requirePool();
      const count = session.options.endpoints.length;
      if (count < 2) throw new NotJudged('the pool has one endpoint');
      require(seen.length > 1, 'more than one endpoint', seen.join(', '));
      return `${seen.length} of ${count} endpoints`;
    },
  },
  {
    id: 'destination-header',
    clause: '6',
    title: '6: names the endpoint in the header x-gateway-destination-endpoint',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      const value = destinationHeader(exchange);
      require(value !== undefined, 'the header, where it reaches the endpoint', 'none');
      require(value.split(',').every(isAddress), 'ip:port[,ip:port…]', value);
      return value;
    },
  },
  {
    id: 'destination-metadata',
    clause: '7',
    title: '7: names the endpoint in the metadata envoy.lb',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      const value = destinationMetadata(exchange);
      require(value !== undefined, 'x-gateway-destination-endpoint as text in envoy.lb', 'none');
      return value;
    },
  },
  {
    id: 'destination-metadata-early',
    clause: '7',
    title: '7: the metadata comes with the reply to the headers, where agentgateway still takes it',
    level: 'SHOULD',
    dialects: duplexDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      const headers = exchange.headersReply('request');
      const value = headers === undefined ? undefined : metadataDestination(headers);
      require(value !== undefined, 'metadata on the reply to the headers', 'none there');
      return value;
    },
  },
  {
    id: 'destination-equal',
    clause: '8',
    title: '8: header and metadata do not differ',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      const header = destinationHeader(exchange);
      const metadata = destinationMetadata(exchange);
      if (header === undefined || metadata === undefined) throw new NotJudged('one of them is missing');
      require(header === metadata, `the header's ${header}`, `${metadata} in the metadata`);
      return header;
    },
  },
  {
    id: 'destination-single',
    clause: '10',
    title: '10: one endpoint alone, unless a list was asked for: most data planes cannot read one',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      const value = effectiveDestination(exchange, {});
      require(value !== undefined, 'a destination', 'none');
      if (session.options.namesFallbacks) {
        const list = value.split(',');
        require(new Set(list).size === list.length, 'a list that names nobody twice', value);
        if (!dialect.readsList)
          throw new NotJudged(`a list was asked for, which ${dialect.name} cannot read`);
      } else {
        require(isAddress(value), 'one ip:port', value);
      }
      return value;
    },
  },
  {
    id: 'get',
    clause: '4.2',
    title: '4.2: a request without a body is picked for on its headers',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      session.requirePool();
      const exchange = (await session.ask(dialect, get('/v1/models'))).requirePicked();
      return requireDestination(exchange);
    },
  },
  {
    id: 'served',
    clause: '12',
    title: '12: takes the report of the endpoint that served',
    level: 'MUST',
    dialects: responseDialects,
    run: async (session, dialect) => reportServed(session, dialect, undefined),
  },
  {
    id: 'served-foreign',
    clause: '12',
    title: '12: is not upset by the report of an endpoint that it did not pick',
    level: 'MUST',
    dialects: [dialects.duplex, dialects.istio],
    run: async (session, dialect) => reportServed(session, dialect, '203.0.113.9:8000'),
  },
];

async function pickedBy(session: Session, dialect: Dialect): Promise<string> {
  const { emptyBecause } = session.pool;
  require(emptyBecause === undefined, `a pick from ${session.options.endpoints.join(', ')}`, emptyBecause ??
    '');
  const exchange = (await session.ask(dialect)).requirePicked();
  return requireDestination(exchange);
}

async function reportServed(
  session: Session,
  dialect: Dialect,
  foreign: string | undefined,
): Promise<string> {
  const exchange = await session.picked({ ...dialect, reportsServed: true });
  const served = foreign ?? destinationMetadata(exchange)?.split(',')[0];
  await exchange.response({ ...session.events(false), served });
  require(exchange.stop === undefined, 'an ordinary response phase', exchange.describe());
  await exchange.finish();
  return exchange.describe();
}
