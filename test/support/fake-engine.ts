import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A fake: an OpenAI-compatible engine without a model, on node:http. It answers with `token-0 token-1 …`, records
 * what it was sent, and misbehaves as told. Its `/metrics` and `/v1/models` look like vLLM's.
 */
export interface FakeEngine {
  /** `host:port`. */
  readonly address: string;
  readonly port: number;
  readonly models: readonly string[];
  /** Inference requests, in the order of arrival. */
  readonly requests: readonly RecordedRequest[];
  /** Responses under way. */
  readonly openResponses: number;
  /** Responses whose connection closed before they were whole. */
  readonly abortedResponses: number;
  /** How to answer inference requests from now on; undefined = politely. */
  behave(behaviour: Behaviour | undefined): void;
  /** What `/metrics` tells from now on. */
  setGauges(gauges: Partial<FakeGauges>): void;
  /** Stops listening and cuts every connection. */
  close(): Promise<void>;
}

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export interface FakeExchange {
  readonly request: RecordedRequest;
  readonly response: ServerResponse;
}

export type Behaviour = (exchange: FakeExchange) => void | Promise<void>;

export interface FakeGauges {
  readonly waiting: number;
  readonly running: number;
  /** 0 to 1. */
  readonly kvCacheUsage: number;
}

export interface FakeEngineOptions {
  readonly models?: readonly string[];
  readonly behaviour?: Behaviour;
  /** 0 = any free one. */
  readonly port?: number;
}

export async function startFakeEngine(options: FakeEngineOptions = {}): Promise<FakeEngine> {
  const models = options.models ?? ['fake-model'];
  const requests: RecordedRequest[] = [];
  let behaviour = options.behaviour ?? answer();
  let gauges: FakeGauges = { waiting: 0, running: 0, kvCacheUsage: 0 };
  let openResponses = 0;
  let abortedResponses = 0;

  const server = createServer(async (incoming, response) => {
    if (incoming.url === '/metrics') return void response.end(metricsText(models[0] ?? '', gauges));
    if (incoming.url === '/health') return void response.end();
    if (incoming.url === '/v1/models') return void json(response, 200, modelList(models));
    openResponses += 1;
    response.once('close', () => {
      openResponses -= 1;
      if (!response.writableFinished) abortedResponses += 1;
    });
    const request = await record(incoming);
    if (request === undefined) return;
    requests.push(request);
    await behaviour({ request, response });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    address: `127.0.0.1:${port}`,
    port,
    models,
    requests,
    get openResponses() {
      return openResponses;
    },
    get abortedResponses() {
      return abortedResponses;
    },
    behave: (next) => {
      behaviour = next ?? answer();
    },
    setGauges: (changed) => {
      gauges = { ...gauges, ...changed };
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

export interface AnswerOptions {
  /** Tokens of the answer; `max_tokens` of the request, or 4, when not given. */
  readonly tokens?: number;
  /** Before the first byte. */
  readonly delayMs?: number;
  /** Between tokens of a stream. */
  readonly tokenDelayMs?: number;
}

/** Answers chat and completions, streamed or whole, with usage as vLLM reports it. */
export function answer({ tokens, delayMs = 0, tokenDelayMs = 0 }: AnswerOptions = {}): Behaviour {
  return async ({ request, response }) => {
    const body = JSON.parse(request.body.toString() || '{}') as ChatBody;
    const count = tokens ?? body.max_tokens ?? 4;
    const isChat = request.path.includes('/chat/');
    const usage = usageOf(request.body.length, count);
    if (delayMs > 0) await delay(delayMs);
    if (body.stream !== true) {
      json(response, 200, wholeAnswer(isChat, body.model, words(0, count), usage));
      return;
    }
    startStream(response);
    if (isChat) send(response, chunk(true, body.model, { delta: { role: 'assistant', content: '' } }));
    for (let index = 0; index < count; index += 1) {
      if (tokenDelayMs > 0) await delay(tokenDelayMs);
      if (response.destroyed) return;
      send(response, token(isChat, body.model, index));
    }
    send(response, chunk(isChat, body.model, isChat ? { delta: {}, ...stop } : { text: '', ...stop }));
    if (body.stream_options?.include_usage === true)
      send(response, { ...head(isChat, body.model), choices: [], usage });
    response.end('data: [DONE]\n\n');
  };
}

/** Sends some tokens of a stream, then breaks the connection, or leaves it silent. */
export function stopMidStream(tokens: number, how: 'reset' | 'silence', half = ''): Behaviour {
  return ({ response }) => {
    startStream(response);
    for (let index = 0; index < tokens; index += 1) send(response, token(true, 'fake-model', index));
    if (how === 'reset') response.write(half, () => response.socket?.resetAndDestroy());
  };
}

/** Closes the connection without an answer. */
export const hangUp: Behaviour = ({ response }) => void response.socket?.resetAndDestroy();

/** Never answers. */
export const keepSilent: Behaviour = () => {};

/** Answers with this status, headers and body. */
export function answerWith(
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' },
): Behaviour {
  return ({ response }) =>
    void response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
}

interface ChatBody {
  readonly model: string;
  readonly stream?: boolean;
  readonly max_tokens?: number;
  readonly stream_options?: { readonly include_usage?: boolean };
}

const stop = { finish_reason: 'stop' };

function startStream(response: ServerResponse): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  });
}

function send(response: ServerResponse, event: object): void {
  response.write(`data: ${JSON.stringify(event)}\n\n`);
}

function token(isChat: boolean, model: string, index: number): object {
  const content = words(index, index + 1);
  return chunk(isChat, model, isChat ? { delta: { content } } : { text: content });
}

function chunk(isChat: boolean, model: string, choice: object): object {
  return { ...head(isChat, model), choices: [{ index: 0, finish_reason: null, ...choice }] };
}

function head(isChat: boolean, model: string) {
  return { id: 'fake-1', object: isChat ? 'chat.completion.chunk' : 'text_completion', created: 1, model };
}

function wholeAnswer(isChat: boolean, model: string, content: string, usage: object): object {
  const choice = isChat ? { message: { role: 'assistant', content } } : { text: content };
  return {
    id: 'fake-1',
    object: isChat ? 'chat.completion' : 'text_completion',
    created: 1,
    model,
    choices: [{ index: 0, ...choice, ...stop }],
    usage,
  };
}

function usageOf(bodyBytes: number, completionTokens: number) {
  const promptTokens = Math.ceil(bodyBytes / 4);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0 },
  };
}

function words(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => `token-${from + index} `).join('');
}

function modelList(models: readonly string[]): object {
  return {
    object: 'list',
    data: models.map((id) => ({ id, object: 'model', created: 1, owned_by: 'fake' })),
  };
}

function metricsText(model: string, { waiting, running, kvCacheUsage }: FakeGauges): string {
  const labels = `{engine="0",model_name="${model}"}`;
  return [
    '# TYPE vllm:num_requests_waiting gauge',
    `vllm:num_requests_waiting${labels} ${waiting}`,
    '# TYPE vllm:num_requests_running gauge',
    `vllm:num_requests_running${labels} ${running}`,
    '# TYPE vllm:kv_cache_usage_perc gauge',
    `vllm:kv_cache_usage_perc${labels} ${kvCacheUsage}`,
    '# TYPE vllm:cache_config_info gauge',
    'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="4096"} 1',
    '',
  ].join('\n');
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** undefined when the client went away before its body was whole. */
async function record(incoming: IncomingMessage): Promise<RecordedRequest | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const part of incoming) chunks.push(part as Buffer);
  } catch {
    return undefined;
  }
  const { method = '', url = '', headers, rawHeaders } = incoming;
  return { method, path: url, headers, rawHeaders, body: Buffer.concat(chunks) };
}

function delay(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
