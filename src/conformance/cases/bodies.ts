import type { ConformanceCase } from '../conformance-case.ts';
import { bodyDialects, type Dialect, dialects, duplexDialects } from '../dialects.ts';
import { chatBody, inChunks, post } from '../http-shapes.ts';
import { NotJudged, require } from '../outcome.ts';
import type { Session } from '../session.ts';
import { requireBody } from './requirements.ts';

const mebibyte = 1 << 20;
/** Above the 4 MiB that gRPC libraries accept in one message unless they are told otherwise. */
const largeMessageBytes = 5 * mebibyte;
const hugeBytes = 32 * mebibyte;
/** What Envoy hands over at a time. */
const envoyChunkBytes = 65_536;

interface BodyOf {
  readonly id: string;
  readonly title: string;
  readonly body: (model: string) => Buffer;
  readonly chunkBytes: number;
}

const bodies: readonly BodyOf[] = [
  {
    id: 'body-spelling',
    title: 'large integers, key order, spaces and unknown fields',
    body: (model) =>
      Buffer.from(
        ` {"seed": 12345678901234567890, "z":1.0,"a" : [ ] ,\n"model":${JSON.stringify(model)},` +
          '"messages":[{"role":"user","content":"\\u00e9\\/ \\ud83d\\ude80"}],"nonstandard":{"x":1e400}}\n',
      ),
    chunkBytes: 40,
  },
  {
    id: 'body-cut-characters',
    title: 'chunks that cut UTF-8 characters and escapes',
    body: (model) => chatBody(model, { user: '✓é🚀"\\\n'.repeat(20) }),
    chunkBytes: 1,
  },
  {
    id: 'body-1mb',
    title: '1 MiB in chunks of 64 KiB',
    body: (model) => chatBody(model, { user: '0123456789abcdef'.repeat(mebibyte / 16) }),
    chunkBytes: envoyChunkBytes,
  },
];

interface Junk {
  readonly id: string;
  readonly title: string;
  readonly dialects: readonly Dialect[];
  readonly body: Buffer;
}

const junk: readonly Junk[] = [
  {
    id: 'junk-json',
    title: 'a body that is no JSON',
    dialects: bodyDialects,
    body: Buffer.from('{"model": "m", "messages": ['),
  },
  {
    id: 'junk-bytes',
    title: 'a body that is no text',
    dialects: bodyDialects,
    body: Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 151 + 7) & 0xff)),
  },
  {
    id: 'junk-deep-json',
    title: 'JSON that is nested 100,000 deep',
    dialects: [dialects.duplex, dialects.ngf],
    body: Buffer.from(`{"model":"m","prompt":${'['.repeat(100_000)}`),
  },
];

/** A body must arrive as it was sent: what a full-duplex picker does not give back is lost (4.1). */
export const bodyCases: readonly ConformanceCase[] = [
  ...bodies.map(
    ({ id, title, body, chunkBytes }): ConformanceCase => ({
      id,
      clause: '4.1',
      title: `4.1: passes the body unchanged: ${title}`,
      level: 'MUST',
      dialects: bodyDialects,
      run: async (session, dialect) => {
        session.requirePool();
        const bytes = body(session.options.model);
        const request = post(bytes, { chunks: inChunks(bytes, chunkBytes) });
        const exchange = (await session.ask(dialect, request)).requirePicked();
        requireBody(exchange, request);
        return `${bytes.length} bytes`;
      },
    }),
  ),
  {
    id: 'response-1mb',
    clause: '4.1',
    title: '4.1: passes a response of 1 MiB unchanged',
    level: 'MUST',
    dialects: duplexDialects,
    async run(session, dialect) {
      const sent = Buffer.from(JSON.stringify({ choices: [], data: 'x'.repeat(mebibyte) }));
      const exchange = await session.picked(dialect);
      const headers = { 'content-type': 'application/json' };
      await exchange.response({ ...session.events(false), headers, chunks: inChunks(sent, envoyChunkBytes) });
      await exchange.finish();
      const found = exchange.body('response');
      require(found.equals(sent), `${sent.length} bytes`, `${found.length} bytes: ${exchange.describe()}`);
      return `${found.length} bytes`;
    },
  },
  {
    id: 'body-empty',
    clause: '4.1',
    title: '4.1: a POST with an empty body is answered, by a pick or an ImmediateResponse',
    level: 'MUST',
    dialects: bodyDialects,
    run: async (session, dialect) => answered(session, dialect, Buffer.alloc(0)),
  },
  {
    id: 'body-large-message',
    clause: '4.4',
    title: '4.4: takes 5 MiB in one message, more than the default of gRPC libraries',
    level: 'SHOULD',
    dialects: [dialects.buffered, dialects.ngf],
    run: async (session, dialect) =>
      answered(session, dialect, chatBody(session.options.model, { user: 'x'.repeat(largeMessageBytes) })),
  },
  {
    id: 'body-huge',
    clause: '4.2',
    title: '4.2: a body of 32 MiB passes or is refused by an ImmediateResponse, never by silence',
    level: 'SHOULD',
    dialects: [dialects.duplex, dialects.buffered],
    run: async (session, dialect) =>
      answered(session, dialect, chatBody(session.options.model, { user: 'x'.repeat(hugeBytes) })),
  },
  ...junk.map(
    ({ id, title, dialects: spoken, body }): ConformanceCase => ({
      id,
      clause: '9',
      title: `9: ${title} is answered, by a pick or an ImmediateResponse`,
      level: 'MUST',
      dialects: spoken,
      run: async (session, dialect) => answered(session, dialect, body),
    }),
  ),
  {
    id: 'refusal-body',
    clause: '8',
    title:
      '8: a refusal is a JSON error in UTF-8 with its content-type: agentgateway reads it as a proto string',
    level: 'SHOULD',
    dialects: [dialects.duplex, dialects.agentgateway],
    async run(session, dialect) {
      const exchange = await session.ask(dialect, session.chat({ subset: [] }));
      const { immediate } = exchange;
      if (immediate === undefined) throw new NotJudged('it does not refuse an empty subset');
      const type = immediate.mutation.set.find(({ name }) => name.toLowerCase() === 'content-type');
      const text = immediate.body.toString();
      require(Buffer.from(text).equals(immediate.body), 'UTF-8', 'other bytes');
      require(isJsonError(text), '{"error": …}', text.slice(0, 60));
      require(type?.rawValue?.includes('json') === true, 'application/json', type?.rawValue ?? 'none');
      return text.slice(0, 60);
    },
  },
  {
    id: 'refusal-status',
    clause: '4.2',
    title: '4.2: a refusal has an error status: below 200 it would be a 200',
    level: 'MUST',
    dialects: [dialects.duplex],
    async run(session, dialect) {
      const { immediate } = await session.ask(dialect, session.chat({ subset: [] }));
      if (immediate === undefined) throw new NotJudged('it does not refuse an empty subset');
      require(immediate.status >= 400 && immediate.status < 600, '400 to 599', String(immediate.status));
      return String(immediate.status);
    },
  },
];

async function answered(session: Session, dialect: Dialect, body: Buffer): Promise<string> {
  session.requirePool();
  const request = post(body, { chunks: body.length === 0 ? [body] : inChunks(body, envoyChunkBytes) });
  const exchange = await session.ask(dialect, request);
  if (exchange.immediate !== undefined) return `ImmediateResponse ${exchange.immediate.status}`;
  const isPicked = exchange.headersReply('request') !== undefined;
  require(isPicked, 'a pick or an ImmediateResponse', exchange.describe());
  const isWhole = dialect.modes === undefined || exchange.body('request').length === body.length;
  require(isWhole, `all ${body.length} bytes`, exchange.describe());
  return 'a pick';
}

function isJsonError(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'error' in value;
  } catch {
    return false;
  }
}
