import type { ConformanceCase } from '../conformance-case.ts';
import { destinationKey, upstreamHeaders } from '../destination.ts';
import { allDialects, duplexDialects, turnDialects } from '../dialects.ts';
import { require } from '../outcome.ts';

/** Where a client would like to go, and must not. */
export const spoof = '203.0.113.66:6666';
export const otherControlHeaders = [
  'x-gateway-destination-endpoint-served',
  'x-gateway-destination-endpoint-subset',
  'x-prefiller-host-port',
  'x-encoder-hosts-ports',
  'x-data-parallel-host-port',
];
/** Of drafts before 0.4; a list in the destination took its place. */
const fallbackKey = 'x-gateway-destination-endpoint-fallback';

/** What clients may ask for (2, other headers in use), under its present names and the older ones. */
const wishes = {
  'x-llm-d-inference-objective': 'conformance-unknown',
  'x-gateway-inference-objective': 'conformance-unknown',
  'x-llm-d-inference-fairness-id': 'conformance',
  'x-gateway-inference-fairness-id': 'conformance',
  'x-llm-d-slo-ttft-ms': '60000',
  'x-slo-ttft-ms': '60000',
  'x-llm-d-slo-tpot-ms': '60000',
  'x-slo-tpot-ms': '60000',
};
const junkWishes = Object.fromEntries(Object.keys(wishes).map((name) => [name, '-1e999, \u00fc']));

export const controlHeaderCases: readonly ConformanceCase[] = [
  {
    id: 'spoofed-trailers',
    clause: '4.2',
    title: '4.2: control headers of the client do not reach the endpoint as trailers either',
    level: 'SHOULD',
    dialects: [...duplexDialects, ...turnDialects],
    async run(session, dialect) {
      const names = [destinationKey, ...otherControlHeaders];
      const trailers = Object.fromEntries(names.map((name) => [name, spoof]));
      const exchange = await session.picked(dialect, session.chat({ hasTrailers: true, trailers }));
      exchange.cancel();
      const reply = exchange.trailersReply('request');
      require(reply !== undefined, 'a reply to the trailers', exchange.describe());
      const removed = new Set(reply.mutation.remove.map((name) => name.toLowerCase()));
      const arrived = names.filter((name) => !removed.has(name));
      require(arrived.length === 0, 'none of them at the endpoint', arrived.join(', '));
      return `${names.length} trailers`;
    },
  },
  {
    id: 'fallback-key',
    clause: '2',
    title: `2: does not name ${fallbackKey}, which a list in the destination replaced in v0.4.0`,
    level: 'SHOULD',
    dialects: allDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      const inMetadata = exchange.replies.some(({ metadata }) =>
        Object.values(metadata).some((values) => fallbackKey in values),
      );
      require(!inMetadata, 'the destination alone', 'the key in the metadata');
      const isSet = upstreamHeaders(exchange, {}).has(fallbackKey);
      require(!isSet, 'the destination alone', 'the key as a header');
      return 'not named';
    },
  },
  ...Object.entries({ wishes, 'wishes-junk': junkWishes }).map(
    ([id, headers]): ConformanceCase => ({
      id,
      clause: '2',
      title: `2: picks for a request with an objective, a fairness id and targets, under all their names${
        id === 'wishes' ? '' : ', that make no sense'
      }`,
      level: id === 'wishes' ? 'MUST' : 'SHOULD',
      dialects: allDialects,
      run: async (session, dialect) => {
        const exchange = await session.picked(dialect, session.chat({ headers }));
        exchange.cancel();
        return exchange.describe();
      },
    }),
  ),
];
