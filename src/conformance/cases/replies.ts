import type { ConformanceCase } from '../conformance-case.ts';
import { destinationKey, requireDestination, upstreamHeaders } from '../destination.ts';
import { allDialects, bodyDialects, type Dialect, duplexDialects, turnDialects } from '../dialects.ts';
import { chatBody, inChunks, post } from '../http-shapes.ts';
import { type Level, NotJudged, require } from '../outcome.ts';
import type { Session } from '../session.ts';
import type { Rule } from '../violations.ts';
import { otherControlHeaders, spoof } from './control-headers.ts';

interface RuleCase {
  readonly id: string;
  readonly clause: string;
  readonly title: string;
  readonly level: Level;
  readonly rule: Rule;
  readonly expected: string;
  readonly dialects: readonly Dialect[];
}

/** Rules that every reply of an ordinary exchange must keep. */
const rules: readonly RuleCase[] = [
  {
    id: 'reply-streamed',
    clause: '4.1.1',
    title:
      '4.1 rule 1: in full duplex, no body reply without streamed_response, which Envoy takes for spurious',
    level: 'MUST',
    rule: 'not_streamed',
    expected: 'streamed_response in each body reply',
    dialects: duplexDialects,
  },
  {
    id: 'reply-order',
    clause: '4.1.1',
    title: '4.1 rule 1: no body or trailers reply before the reply to the headers',
    level: 'MUST',
    rule: 'before_headers',
    expected: 'the reply to the headers first',
    dialects: allDialects,
  },
  {
    id: 'reply-not-streamed',
    clause: '4.1.2',
    title: '4.1 rule 2: no streamed_response outside of full duplex',
    level: 'MUST',
    rule: 'streamed_elsewhere',
    expected: 'no streamed_response',
    dialects: turnDialects,
  },
  {
    id: 'reply-count',
    clause: '4.1',
    title: '4.1: no more than one reply for each body message',
    level: 'MUST',
    rule: 'one_each',
    expected: 'one reply for each body message',
    dialects: turnDialects,
  },
  {
    id: 'reply-turn',
    clause: '4.1',
    title: '4.1: headers are answered once',
    level: 'MUST',
    rule: 'out_of_turn',
    expected: 'one reply to the headers',
    dialects: allDialects,
  },
  {
    id: 'reply-after-end',
    clause: '4.1.3',
    title: '4.1 rule 3: no body reply after end_of_stream or trailers',
    level: 'MUST',
    rule: 'after_end',
    expected: 'nothing after the end',
    dialects: duplexDialects,
  },
  {
    id: 'reply-known',
    clause: '4',
    title: '4: each reply is of a kind that data planes know',
    level: 'MUST',
    rule: 'unknown_reply',
    expected: 'one of the seven kinds of response',
    dialects: allDialects,
  },
  {
    id: 'reply-raw-value',
    clause: '4.2',
    title: '4.2: header mutations use raw_value alone: value gives an empty header in Envoy, both an error',
    level: 'MUST',
    rule: 'raw_value',
    expected: 'raw_value, and no value',
    dialects: allDialects,
  },
  {
    id: 'reply-append-action',
    clause: '4.2',
    title: '4.2: header mutations say OVERWRITE_IF_EXISTS_OR_ADD',
    level: 'SHOULD',
    rule: 'append_action',
    expected: 'append_action = 2',
    dialects: allDialects,
  },
  {
    id: 'reply-pseudo-headers',
    clause: '4.2',
    title: '4.2: sets and removes no host and no pseudo-headers, which data planes ignore',
    level: 'SHOULD',
    rule: 'pseudo_headers',
    expected: 'ordinary headers only',
    dialects: allDialects,
  },
  {
    id: 'reply-continue',
    clause: '4.2',
    title:
      '4.2: no CONTINUE_AND_REPLACE, which stops the other messages in Envoy and nothing in agentgateway',
    level: 'SHOULD',
    rule: 'continue_and_replace',
    expected: 'CONTINUE',
    dialects: allDialects,
  },
  {
    id: 'reply-mode-override',
    clause: '4.2',
    title: '4.2: sends no mode_override in full duplex, where it is ignored',
    level: 'INFO',
    rule: 'mode_override',
    expected: 'no mode_override',
    dialects: duplexDialects,
  },
];

/** A body of several chunks of ours, so that pieces of the picker's own size show. */
const longBodyBytes = 300_000;

export const replyCases: readonly ConformanceCase[] = [
  ...rules.map(
    ({ id, clause, title, level, rule, expected, dialects }): ConformanceCase => ({
      id,
      clause,
      title,
      level,
      dialects,
      run: async (session, dialect) => {
        const exchange = await session.standard(dialect);
        const offences = exchange.violations.filter((violation) => violation.rule === rule);
        require(offences.length === 0, expected, offences[0]?.found ?? '');
        return exchange.describe();
      },
    }),
  ),
  {
    id: 'reply-chunk-size',
    clause: '4.2',
    title: '4.2: chunks of at most 64 KiB, whatever the size of the body',
    level: 'SHOULD',
    dialects: duplexDialects,
    async run(session, dialect) {
      session.requirePool();
      const body = chatBody(session.options.model, { padding: 'x'.repeat(longBodyBytes) });
      const exchange = await session.ask(dialect, post(body, { chunks: inChunks(body, longBodyBytes) }));
      exchange.requirePicked();
      const offences = exchange.violations.filter(({ rule }) => rule === 'chunk_size');
      require(offences.length === 0, 'at most 65536 bytes', offences[0]?.found ?? '');
      return `${exchange.bodyReplies('request').length} chunks`;
    },
  },
  {
    id: 'spoofed-destination',
    clause: '6',
    title: '6: a destination that the client sends itself does not win',
    level: 'MUST',
    dialects: allDialects,
    async run(session, dialect) {
      session.requirePool();
      const headers = { [destinationKey]: spoof };
      const exchange = (await session.ask(dialect, session.chat({ headers }))).requirePicked();
      const value = requireDestination(exchange, headers);
      require(!value.includes(spoof), 'the pick alone', value);
      const header = upstreamHeaders(exchange, headers).get(destinationKey);
      require(header !== spoof, 'the pick in the header', header ?? '');
      return value;
    },
  },
  {
    id: 'spoofed-control-headers',
    clause: '4.2',
    title: '4.2: other control headers of the client are removed or overwritten',
    level: 'SHOULD',
    dialects: allDialects,
    async run(session, dialect) {
      session.requirePool();
      const headers = Object.fromEntries(otherControlHeaders.map((name) => [name, spoof]));
      const exchange = (await session.ask(dialect, session.chat({ headers }))).requirePicked();
      const left = upstreamHeaders(exchange, headers);
      const arrived = otherControlHeaders.filter((name) => left.get(name) === spoof);
      require(arrived.length === 0, 'none of them at the endpoint', arrived.join(', '));
      return `${otherControlHeaders.length} headers`;
    },
  },
  {
    id: 'content-length',
    clause: '4.1',
    title: '4.1: a content-length that is set equals the body',
    level: 'MUST',
    dialects: bodyDialects,
    run: contentLength,
  },
  {
    id: 'headers-untouched',
    clause: '4.2',
    title: "4.2: leaves the client's other headers as they are",
    level: 'SHOULD',
    dialects: allDialects,
    async run(session, dialect) {
      session.requirePool();
      const headers = { authorization: 'Bearer ü', 'x-request-id': 'conformance-1', accept: 'a, b' };
      const exchange = (await session.ask(dialect, session.chat({ headers }))).requirePicked();
      const left = upstreamHeaders(exchange, headers);
      const changed = Object.entries(headers).filter(([name, value]) => left.get(name) !== value);
      const found = changed.map(([name]) => `${name}: ${left.get(name) ?? 'removed'}`).join(', ');
      require(changed.length === 0, 'the same values', found);
      return `${Object.keys(headers).length} headers`;
    },
  },
  {
    id: 'route-cache',
    clause: '4.2',
    title: '4.2: leaves the route alone: clear_route_cache can move a request to another pool',
    level: 'INFO',
    dialects: duplexDialects,
    async run(session, dialect) {
      const exchange = (await session.standard(dialect)).requirePicked();
      const clears = exchange.headersReply('request')?.clearsRouteCache ?? false;
      require(!clears, 'clear_route_cache unset', 'clear_route_cache');
      return 'unset';
    },
  },
];

async function contentLength(session: Session, dialect: Dialect): Promise<string> {
  session.requirePool();
  const body = chatBody(session.options.model);
  const headers = { 'content-length': String(body.length) };
  const exchange = (await session.ask(dialect, post(body, { headers }))).requirePicked();
  const value = upstreamHeaders(exchange, headers).get('content-length');
  if (value === undefined) throw new NotJudged('it is removed, which leaves it to the data plane');
  const { length } = exchange.body('request');
  require(value === String(length), `${length}`, value);
  return value;
}
