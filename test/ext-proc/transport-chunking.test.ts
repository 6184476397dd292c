import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { reference } from '../../bench/fuzz/protobuf-frame.ts';
import { serveExtProc } from '../../src/ext-proc/index.ts';
import { HpackDecoder } from '../../src/http2/hpack-decoder.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { fields, frame, message, RawClient } from '../http2/raw-client.ts';
import {
  buffered,
  destinationMetadata,
  fullDuplex,
  type HeaderMutationReply,
  type Modes,
  type Reply,
  requestBody,
  requestHeaders,
  responseBody,
  responseHeaders,
  setHeaders,
} from '../support/ext-proc-client.ts';
import { until } from '../support/until.ts';
import { fakePicker } from './fakes.ts';

const transports = ['fast', 'grpc-js'] as const;
const servers: RunningServer[] = [];

beforeAll(async () => {
  for (const transport of transports) {
    servers.push(
      await serveExtProc({
        host: '127.0.0.1',
        port: 0,
        picker: fakePicker(['10.0.0.1:8000']),
        log: silentLog,
        tls: { mode: 'off' },
        limits: { maxBodyBytes: 1_000_000, blockTokens: 16, maxPrefixTokens: 1024 },
        rules: () => ({ rewriteModel: (model) => (model === 'm' ? 'real' : undefined) }),
        isServing: () => true,
        transport,
      }),
    );
  }
});
afterAll(async () => {
  for (const server of servers) await server.close(0);
});

/** One HTTP request as a data plane shows it: what it sends before the pick, and what after. */
interface Conversation {
  readonly request: readonly object[];
  readonly response: readonly object[];
  /** Whether the replies so far are all that the request gets. */
  readonly isPicked: (replies: readonly Reply[]) => boolean;
}

/** Where bytes are cut, as fractions: into DATA frames, and into what is written to the socket at once. */
interface Cuts {
  readonly frames: readonly number[];
  readonly writes: readonly number[];
}

const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 200 }), fc.constant('x'.repeat(9000)));
const sse = (content: string) =>
  `data: ${JSON.stringify({ model: 'real', choices: [{ delta: { content } }] })}\n\n`;

const conversation: fc.Arbitrary<Conversation> = fc
  .record({
    prompt: text,
    answer: text,
    requestCuts: fractions,
    responseCuts: fractions,
    end: fc.constantFrom('end_of_stream', 'empty chunk', 'trailers'),
    modes: fc.constantFrom<Modes>(fullDuplex, fullDuplex, buffered),
  })
  .map(({ prompt, answer, requestCuts, responseCuts, end, modes }) => {
    const isStreamed = modes === fullDuplex;
    const body = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: prompt }] }));
    const pieces = isStreamed ? cut(body, requestCuts) : [body];
    const endsItself = !isStreamed || end === 'end_of_stream';
    const request = [
      requestHeaders({ modes }),
      ...pieces.map((piece, i) => requestBody(piece, endsItself && i === pieces.length - 1)),
      ...(endsItself ? [] : [end === 'trailers' ? { requestTrailers: {} } : requestBody('', true)]),
    ];
    const events = Buffer.from(`${sse(answer)}${sse('end')}data: [DONE]\n\n`);
    const responsePieces = isStreamed ? cut(events, responseCuts) : [events];
    const response = [
      responseHeaders({ ':status': '200', 'content-type': 'text/event-stream' }),
      ...responsePieces.map((piece, i) => responseBody(piece, i === responsePieces.length - 1)),
    ];
    const isPicked = (replies: readonly Reply[]) =>
      isStreamed
        ? summary(replies).isRequestEnded
        : replies.some((reply) => reply.response === 'requestBody');
    return { request, response, isPicked };
  });

it('any cutting gives the same decision and the same bytes, on both transports', {
  timeout: 120_000,
}, async () => {
  const uncut: Cuts = { frames: [], writes: [] };
  const cuts = fc.record({ frames: fractions, writes: fractions });
  await fc.assert(
    fc.asyncProperty(conversation, cuts, async (talk, places) => {
      const expected = await converse(servers[0]!.port, talk, uncut);
      expect(expected).toMatchObject({
        status: '0',
        picked: '10.0.0.1:8000',
        requestBody: expect.stringContaining('"model":"real"'),
        responseBody: expect.stringContaining('"model":"m"'),
      });
      for (const { port } of servers) expect(await converse(port, talk, places)).toEqual(expected);
    }),
    { numRuns: 100 },
  );
});

/** Holds the conversation on a connection of its own; returns what the data plane ends up with. */
async function converse(port: number, { request, response, isPicked }: Conversation, cuts: Cuts) {
  const client = new RawClient(port);
  const replies = () => repliesOf(client);
  const headers = frame(1, 4, 1, fields(...processHeaders));
  try {
    client.open(headers);
    await write(client, dataFrames(request, cuts), cuts);
    await until(() => isPicked(replies()));
    await write(client, dataFrames(response, cuts), cuts);
    await write(client, frame(0, 1, 1), cuts);
    await until(() => client.of(1).some(({ flags }) => (flags & 1) !== 0));
    return { ...summary(replies()), status: grpcStatus(client) };
  } finally {
    client.close();
  }
}

const processHeaders = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/envoy.service.ext_proc.v3.ExternalProcessor/Process'],
  [':authority', 'test'],
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
] as const;

/** The messages as DATA, whose frames end anywhere. */
function dataFrames(messages: readonly object[], cuts: Cuts): Buffer {
  const bytes = Buffer.concat(messages.map((each) => message(reference.requestSerialize(each))));
  const pieces = cut(bytes, [...cuts.frames, ...steps(bytes.length, 16_000)]);
  return Buffer.concat(pieces.map((piece) => frame(0, 0, 1, piece)));
}

async function write(client: RawClient, bytes: Buffer, cuts: Cuts): Promise<void> {
  for (const piece of cut(bytes, cuts.writes)) {
    client.send(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => Math.round(place * bytes.length)), bytes.length].sort(
    (a, b) => a - b,
  );
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

function steps(length: number, step: number): number[] {
  return Array.from({ length: Math.floor(length / step) }, (_, i) => ((i + 1) * step) / length);
}

function repliesOf(client: RawClient): Reply[] {
  let bytes = Buffer.concat(client.of(0).map(({ payload }) => payload));
  const replies: Reply[] = [];
  while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
    const end = 5 + bytes.readUInt32BE(1);
    replies.push(reference.responseDeserialize(bytes.subarray(5, end)));
    bytes = bytes.subarray(end);
  }
  return replies;
}

function grpcStatus(client: RawClient): string | undefined {
  const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 65_536 });
  const all = client.of(1).flatMap(({ payload }) => decoder.decode(payload, 0, payload.length) ?? []);
  return all.find(([name]) => name === 'grpc-status')?.[1];
}

/** Bodies in one piece: how replies cut them may depend on what came together. */
function summary(replies: readonly Reply[]) {
  return {
    kinds: [...new Set(replies.map(({ response }) => response))],
    picked: replies.map(destinationMetadata).find((address) => address !== undefined),
    mutations: replies.flatMap(({ requestHeaders: reply }) => mutationOf(reply?.response?.headerMutation)),
    requestBody: bodyOf(replies, 'requestBody'),
    responseBody: bodyOf(replies, 'responseBody'),
    isRequestEnded: replies.some(
      ({ response, requestBody: reply }) =>
        response === 'requestTrailers' ||
        reply?.response?.bodyMutation?.streamedResponse?.endOfStream === true,
    ),
  };
}

/** Without the request's id, which is new each time. */
function mutationOf(mutation: HeaderMutationReply | undefined) {
  if (mutation === undefined) return [];
  const { 'x-request-id': _id, ...set } = setHeaders(mutation);
  return [{ set, remove: mutation.removeHeaders }];
}

function bodyOf(replies: readonly Reply[], kind: 'requestBody' | 'responseBody'): string {
  const pieces = replies.map((reply) => {
    const mutation = reply[kind]?.response?.bodyMutation;
    return mutation?.streamedResponse?.body ?? mutation?.body ?? Buffer.alloc(0);
  });
  return Buffer.concat(pieces).toString();
}
