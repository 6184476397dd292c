import type { MethodDefinition } from '@grpc/grpc-js';
import { loadServiceDefinitions } from '../../src/ext-proc/service-definitions.ts';

/** What a data plane sends in one exchange, and how many replies it waits for before it goes on. */
export interface Phase {
  /** gRPC messages with their prefixes. */
  readonly bytes: Buffer;
  readonly replies: number;
}

export interface Scenario {
  readonly name: string;
  readonly phases: readonly Phase[];
}

const replyPieceBytes = 62_000;
const bodyChunkBytes = 65_536;

const { Process: method } = loadServiceDefinitions().externalProcessor as unknown as {
  Process: MethodDefinition<object, object>;
};

/** A chat request in FULL_DUPLEX_STREAMED with a prompt of that size, and a response in that many chunks. */
export function exchange(name: string, promptBytes: number, responseChunks: number): Scenario {
  const prompt = 'the quick brown fox jumps over the lazy dog '
    .repeat(Math.ceil(promptBytes / 44))
    .slice(0, promptBytes);
  const body = Buffer.from(
    JSON.stringify({
      model: 'bench',
      messages: [{ role: 'user', content: prompt }],
      stream: responseChunks > 1,
    }),
  );
  const requestParts: object[] = [
    {
      requestHeaders: headers({
        ':method': 'POST',
        ':path': '/v1/chat/completions',
        ':authority': 'gateway.example.com',
        ':scheme': 'https',
        'content-type': 'application/json',
        'content-length': String(body.length),
        'user-agent': 'OpenAI/Python 1.99.0',
        authorization: 'Bearer sk-0123456789abcdef0123456789abcdef',
        accept: 'application/json',
        'accept-encoding': 'gzip, deflate',
        'x-request-id': '6f1c8d1e-7f34-4a5e-9b4e-1c2d3e4f5a6b',
        'x-forwarded-for': '10.1.2.3',
        'x-forwarded-proto': 'https',
        'x-envoy-external-address': '10.1.2.3',
      }),
      protocolConfig: { requestBodyMode: 'FULL_DUPLEX_STREAMED', responseBodyMode: 'FULL_DUPLEX_STREAMED' },
    },
  ];
  let bodyReplies = 0;
  for (let at = 0; at < body.length; at += bodyChunkBytes) {
    const chunk = body.subarray(at, at + bodyChunkBytes);
    requestParts.push({ requestBody: { body: chunk, endOfStream: at + bodyChunkBytes >= body.length } });
    bodyReplies += Math.ceil(chunk.length / replyPieceBytes);
  }
  const phases: Phase[] = [{ bytes: messages(requestParts), replies: 1 + bodyReplies }];
  const type = responseChunks > 1 ? 'text/event-stream' : 'application/json';
  const head = {
    ':status': '200',
    'content-type': type,
    server: 'uvicorn',
    date: 'Sat, 01 Aug 2026 00:00:00 GMT',
  };
  phases.push({ bytes: messages([{ responseHeaders: headers(head) }]), replies: 1 });
  for (let i = 0; i < responseChunks; i++) {
    const endOfStream = i === responseChunks - 1;
    const text = responseChunks === 1 ? whole : endOfStream ? last : chunkText(i);
    phases.push({
      bytes: messages([{ responseBody: { body: Buffer.from(text), endOfStream } }]),
      replies: 1,
    });
  }
  return { name, phases };
}

/** The scenarios of these names; all, if there are none. */
export function scenariosOf(names: readonly string[]): Scenario[] {
  return [
    exchange('2kB', 2_000, 1),
    exchange('16kB', 16_000, 1),
    exchange('64kB', 64_000, 1),
    exchange('400kB', 400_000, 1),
    exchange('100 chunks', 2_000, 100),
    exchange('500 chunks', 2_000, 500),
  ].filter(({ name }) => names.length === 0 || names.includes(name));
}

const usage =
  '"usage":{"prompt_tokens":500,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":256}}';
const whole = `{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"}}],${usage}}`;
const last = `data: {"id":"chatcmpl-1","choices":[],${usage}}\n\ndata: [DONE]\n\n`;

function chunkText(i: number): string {
  return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1785542400,"model":"bench","choices":[{"index":0,"delta":{"content":" word${i}"},"finish_reason":null}]}\n\n`;
}

function headers(values: Readonly<Record<string, string>>): object {
  const list = Object.entries(values).map(([key, value]) => ({ key, rawValue: Buffer.from(value) }));
  return { headers: { headers: list } };
}

function messages(parts: readonly object[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = method.requestSerialize(part);
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(bytes.length, 1);
      return [prefix, bytes];
    }),
  );
}
