import type { ConformanceCase } from '../conformance-case.ts';
import { type Dialect, duplexDialects, responseDialects } from '../dialects.ts';
import type { HttpResponse } from '../http-shapes.ts';
import { require } from '../outcome.ts';
import type { Session } from '../session.ts';

const json = { 'content-type': 'application/json' };
/** One message of a response, as long as a data plane's buffer may make it. */
const longMessageBytes = 300_000;

interface Passed {
  readonly id: string;
  readonly title: string;
  readonly dialects: readonly Dialect[];
  readonly response: (session: Session) => Partial<HttpResponse>;
}

const passed: readonly Passed[] = [
  {
    id: 'response-error',
    title: "an engine's error, with its status",
    dialects: responseDialects,
    response: () => ({ status: 500, headers: json, chunks: [Buffer.from('{"error":{"message":"no"}}')] }),
  },
  {
    id: 'response-not-json',
    title: 'what calls itself JSON and is none',
    dialects: responseDialects,
    response: () => ({ headers: json, chunks: [Buffer.from([0x7b, 0xff, 0x00, 0x22, 0xc3])] }),
  },
  {
    id: 'response-split',
    title: 'a streamed response, cut at every byte',
    dialects: duplexDialects,
    response: (session) => {
      const bytes = Buffer.concat(session.events(false).chunks);
      return { chunks: Array.from(bytes, (byte) => Uint8Array.of(byte)), isPaced: false };
    },
  },
];

/** Response headers that only the data plane may set: it frames the body anew. */
const ofTheConnection = ['transfer-encoding', 'connection', 'content-length'];

/** What comes back from an endpoint belongs to the client: nothing of it may be lost, and none be made up (4.1). */
export const responseCases: readonly ConformanceCase[] = [
  ...passed.map(
    ({ id, title, dialects, response }): ConformanceCase => ({
      id,
      clause: '4.1',
      title: `4.1: passes a response unchanged: ${title}`,
      level: 'MUST',
      dialects,
      run: async (session, dialect) => {
        const sent = { ...session.events(false), ...response(session) };
        const exchange = await session.picked(dialect);
        await exchange.response(sent);
        exchange.cancel();
        require(exchange.immediate === undefined, "the endpoint's response", exchange.describe());
        const showsBody = dialect.modes?.response !== 'NONE';
        const bytes = Buffer.concat(showsBody ? sent.chunks : []);
        const found = exchange.body('response');
        require(found.equals(
          bytes,
        ), `${bytes.length} bytes`, `${found.length} bytes: ${exchange.describe()}`);
        return `status ${sent.status}, ${bytes.length} bytes`;
      },
    }),
  ),
  {
    id: 'response-chunk-size',
    clause: '4.2',
    title: '4.2: chunks of at most 64 KiB to the client, too',
    level: 'SHOULD',
    dialects: duplexDialects,
    async run(session, dialect) {
      const chunks = [Buffer.alloc(longMessageBytes, 'x')] as const;
      const exchange = await session.picked(dialect);
      await exchange.response({ ...session.events(false), headers: json, chunks });
      exchange.cancel();
      const isWhole = exchange.body('response').equals(chunks[0]);
      require(isWhole, `${longMessageBytes} bytes`, exchange.describe());
      const offences = exchange.violations.filter(({ rule }) => rule === 'chunk_size');
      require(offences.length === 0, 'at most 65536 bytes', offences[0]?.found ?? '');
      return `${exchange.bodyReplies('response').length} chunks`;
    },
  },
  {
    id: 'response-headers-framing',
    clause: '4.2',
    title:
      '4.2: does not set transfer-encoding and the like again: over HTTP/2 that cut streams (GIE PR 2996)',
    level: 'MUST',
    dialects: responseDialects,
    async run(session, dialect) {
      const headers = { ...json, 'transfer-encoding': 'chunked', connection: 'keep-alive' };
      const exchange = await session.picked(dialect);
      await exchange.response({ ...session.events(false), headers });
      exchange.cancel();
      const reply = exchange.headersReply('response');
      require(reply !== undefined, 'a reply to the response headers', exchange.describe());
      const { set } = reply.mutation;
      const found = set.filter(({ name }) => ofTheConnection.includes(name.toLowerCase()));
      require(found.length === 0, 'none of them', found.map(({ name }) => name).join(', '));
      return `${set.length} headers set`;
    },
  },
];
