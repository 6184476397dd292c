import type { ConformanceCase } from '../conformance-case.ts';
import { destinationKey, upstreamHeaders } from '../destination.ts';
import { allDialects, type Dialect, dialects, duplexDialects } from '../dialects.ts';
import { chatBody, inChunks, post } from '../http-shapes.ts';
import { require } from '../outcome.ts';
import { type HeaderLines, unreadValue } from '../wire/processing-request.ts';
import { otherControlHeaders, spoof } from './control-headers.ts';
import { requireBody } from './requirements.ts';

const otherSpoof = '203.0.113.67:6667';
const rewriteHeader = 'x-llm-d-model-name-rewrite';
/** What a client may send in several lines; to set any of them would leave one. */
const lines: HeaderLines = [
  ['accept', 'text/event-stream'],
  ['accept', 'application/json;q=0.5'],
  ['cookie', 'a=1'],
  ['cookie', 'b=2'],
  ['x-forwarded-for', '192.0.2.1'],
  ['x-forwarded-for', '192.0.2.2'],
  ['x-empty', ''],
  ['x-empty', ''],
];
const bothDialects: readonly Dialect[] = [...duplexDialects, dialects.buffered];

/** A name that comes in several lines, and a header in both of its fields: data planes pass on what clients send. */
export const repeatedHeaderCases: readonly ConformanceCase[] = [
  {
    id: 'headers-repeated',
    clause: '4.2',
    title: '4.2: headers that come in several lines are left as they are: to set one would lose the others',
    level: 'SHOULD',
    dialects: allDialects,
    async run(session, dialect) {
      const request = session.chat({ repeated: lines });
      const exchange = (await session.picked(dialect, request)).cancel();
      const names = new Set(lines.map(([name]) => name));
      const touched = [...upstreamHeaders(exchange, {}).keys()].filter((name) => names.has(name));
      require(touched.length === 0, 'none of them set', touched.join(', '));
      if (dialect.requestBody !== 'none') requireBody(exchange, request);
      return `${lines.length} lines`;
    },
  },
  {
    id: 'spoofed-repeated',
    clause: '6',
    title: '6: control headers that a client sends in several lines win in none of them',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      const names = [destinationKey, ...otherControlHeaders];
      const headers = Object.fromEntries(names.map((name) => [name, spoof]));
      const repeated = names.map((name) => [name, otherSpoof] as const);
      const exchange = (await session.picked(dialect, session.chat({ headers, repeated }))).cancel();
      const arriving = Object.fromEntries(names.map((name) => [name, `${spoof},${otherSpoof}`]));
      const left = upstreamHeaders(exchange, arriving);
      const judged = dialect.reads === 'header' ? names : names.slice(1);
      const arrived = judged.filter((name) => left.get(name)?.includes('203.0.113.') === true);
      require(arrived.length === 0, 'none of the lines at the endpoint', arrived.join(', '));
      return `${names.length} headers, two lines each`;
    },
  },
  {
    id: 'headers-both-values',
    clause: '4.2',
    title: '4.2: of a header with both raw_value and value, raw_value is read',
    level: 'SHOULD',
    dialects: bothDialects,
    async run(session, dialect) {
      const { model } = session.options;
      const body = chatBody('a-name-of-the-client');
      const headers = { [rewriteHeader]: model };
      const request = post(body, { headers, chunks: inChunks(body, 50) });
      const exchange = await session.picked({ ...dialect, spelling: 'both' }, request);
      const found = exchange.cancel().body('request');
      require(!found.includes(unreadValue), `the model ${model}, or no rewriting`, found.toString());
      return found.includes(JSON.stringify(model)) ? 'the model of raw_value' : 'a pick';
    },
  },
];
