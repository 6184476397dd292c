import type { HeaderLines, Headers, Metadata, MetadataValue } from './wire/processing-request.ts';

/** One HTTP request as a data plane received it. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  /** Further lines, whose names may be in `headers` too. */
  readonly repeated?: HeaderLines;
  /** In the pieces that the data plane read; undefined = no body. */
  readonly chunks: readonly Uint8Array[] | undefined;
  readonly hasTrailers: boolean;
  /** What these say; nothing if it is left out. */
  readonly trailers?: Headers;
  /** The subset hint; undefined = none. */
  readonly subset: MetadataValue | undefined;
  readonly metadata: Metadata;
}

/** One HTTP response as a data plane received it from an endpoint. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly chunks: readonly Uint8Array[];
  readonly hasTrailers: boolean;
  /** Waits for each piece to come back before the next one is sent: an engine that makes a token at a time. */
  readonly isPaced: boolean;
  readonly served: string | undefined;
}

const chatPath = '/v1/chat/completions';

export function chatBody(model: string, fields: Readonly<Record<string, unknown>> = {}): Buffer {
  return Buffer.from(
    JSON.stringify({ model, messages: [{ role: 'user', content: 'Say hello, Zoë ✓' }], ...fields }),
  );
}

export function post(body: Uint8Array | string, fields: Partial<HttpRequest> = {}): HttpRequest {
  return {
    method: 'POST',
    path: chatPath,
    chunks: [Buffer.from(body)],
    hasTrailers: false,
    subset: undefined,
    metadata: {},
    ...fields,
    headers: { 'content-type': 'application/json', ...fields.headers },
  };
}

export function get(path: string, fields: Partial<HttpRequest> = {}): HttpRequest {
  return { ...post('', fields), headers: fields.headers ?? {}, method: 'GET', path, chunks: undefined };
}

export function eventStream(events: readonly string[], fields: Partial<HttpResponse> = {}): HttpResponse {
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream' },
    chunks: events.map((event) => Buffer.from(event)),
    hasTrailers: false,
    isPaced: true,
    served: undefined,
    ...fields,
  };
}

/** Three tokens, usage and the end; lines are cut inside on purpose. */
export function chatEvents(model: string): readonly string[] {
  const event = (fields: object) => `data: ${JSON.stringify({ id: 'c', model, ...fields })}\n\n`;
  const token = (content: string) => event({ choices: [{ index: 0, delta: { content } }] });
  const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 };
  const last = event({ choices: [], usage });
  return [token('a'), token('b').slice(0, 9), token('b').slice(9) + token('c'), last, 'data: [DONE]\n\n'];
}

export function inChunks(body: Uint8Array, chunkBytes: number): readonly Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < body.length; at += chunkBytes) chunks.push(body.subarray(at, at + chunkBytes));
  return chunks;
}
