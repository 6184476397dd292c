import { Agent, request } from 'undici';
import { SseScanner } from '../../src/protocol/sse-scanner.ts';
import type { Prompt } from './prompts.ts';
import { StreamCheck } from './stream-check.ts';

/** One request as the client saw it. Milliseconds count from the intended send time. */
export interface StreamResult {
  readonly tenant: number;
  /** Who served it, if the gateway tells. */
  readonly endpoint: string | undefined;
  readonly error: string | undefined;
  /** 0 if no answer came. */
  readonly status: number;
  /** When it was meant to be sent, on the clock of `performance.now()`. */
  readonly intendedMs: number;
  /** Undefined if no token came. */
  readonly ttftMs: number | undefined;
  readonly durationMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens: number;
}

export interface StreamClientOptions {
  readonly url: string;
  readonly model: string | undefined;
  readonly outputTokens: number;
  readonly apiKey: string | undefined;
  /** Checks order and completeness of each stream. */
  readonly isVerified: boolean;
  /** Beside those of every request. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface StreamClient {
  /** Never rejects; `intendedMs` is on the clock of `performance.now()`. */
  send(prompt: Prompt, intendedMs: number): Promise<StreamResult>;
  close(): Promise<void>;
  /** Ends with an error what is not answered yet. */
  abort(): Promise<void>;
}

export async function createStreamClient(options: StreamClientOptions): Promise<StreamClient> {
  const { url, outputTokens, apiKey, isVerified } = options;
  const dispatcher = new Agent({
    connections: null,
    pipelining: 1,
    headersTimeout: 600_000,
    bodyTimeout: 600_000,
  });
  const headers = {
    'content-type': 'application/json',
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
  };
  const model = options.model ?? (await firstModel(url, headers, dispatcher));

  async function send({ text, tenant }: Prompt, intendedMs: number): Promise<StreamResult> {
    const check = new StreamCheck();
    let ttftMs: number | undefined;
    let error: string | undefined;
    let endpoint: string | undefined;
    let status = 0;
    try {
      const {
        statusCode,
        headers: answered,
        body,
      } = await request(`${url}/v1/completions`, {
        method: 'POST',
        dispatcher,
        headers: {
          ...headers,
          ...options.headers,
          'x-llm-d-inference-fairness-id': `tenant-${tenant}`,
          'x-pointsman-explain': 'true',
        },
        body: JSON.stringify({
          model,
          prompt: text,
          max_tokens: outputTokens,
          ignore_eos: true,
          stream: true,
          stream_options: { include_usage: true },
        }),
      });
      status = statusCode;
      if (statusCode !== 200) throw new Error(`status ${statusCode}: ${(await body.text()).slice(0, 200)}`);
      endpoint = answered['x-pointsman-endpoint']?.toString();
      const scanner = new SseScanner({
        onData: (bytes, start, end) => {
          if (check.onEvent(bytes.toString('utf8', start, end))) ttftMs ??= performance.now() - intendedMs;
        },
        onOversized: () => {},
      });
      for await (const chunk of body) scanner.push(chunk as Buffer);
      scanner.end();
      error = check.failure ?? (isVerified ? check.incompleteness(outputTokens) : undefined);
    } catch (cause) {
      error = cause instanceof Error ? cause.message || cause.name : String(cause);
    }
    const { usage } = check;
    return {
      tenant,
      endpoint,
      error,
      status,
      intendedMs,
      ttftMs,
      durationMs: performance.now() - intendedMs,
      promptTokens: usage?.prompt_tokens ?? 0,
      outputTokens: usage?.completion_tokens ?? check.tokenEvents,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    };
  }

  return {
    send,
    close: async () => {
      if (!dispatcher.destroyed) await dispatcher.close();
    },
    abort: () => dispatcher.destroy(new Error('not answered in time')),
  };
}

async function firstModel(url: string, headers: Record<string, string>, dispatcher: Agent): Promise<string> {
  const { statusCode, body } = await request(`${url}/v1/models`, { headers, dispatcher });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${url}/v1/models answers ${statusCode}: ${text.slice(0, 200)}`);
  const { data } = JSON.parse(text) as { data?: { id: string }[] };
  const model = data?.[0]?.id;
  if (model === undefined) throw new Error(`${url}/v1/models lists no model; name one with --model`);
  return model;
}
