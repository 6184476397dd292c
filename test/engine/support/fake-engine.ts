import { EngineClient } from '../../../src/engine/engine-client.ts';
import type { EngineCore } from '../../../src/engine/engine-core.ts';
import type { EngineCoreOptions } from '../../../src/engine/engine-core-options.ts';
import type { EngineInfo } from '../../../src/engine/engine-messages.ts';
import { createInlineTransport } from '../../../src/engine/engine-transport.ts';
import type { RunningEngine, ServeOpenEngineOptions } from '../../../src/engine/serve-open-engine.ts';
import { serveOpenEngine } from '../../../src/engine/serve-open-engine.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import {
  createByteTokenizer,
  createChatTemplate,
  createPromptEncoder,
} from '../../../src/tokenizer/index.ts';
import { createFakeCore } from './fake-core.ts';
import { fakeHiddenSize } from './fake-model.ts';

export const fakeVocabSize = 256;
const maxModelLen = 512;

export interface FakeEngine {
  readonly url: string;
  readonly core: EngineCore;
  readonly server: RunningEngine;
  readonly crashes: Error[];
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
}

const template =
  '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}';

/** The real server on a real port, over an engine on this thread with the fake model. Text is bytes. */
export async function startFakeEngine(
  options: Partial<EngineCoreOptions> = {},
  serving: Partial<ServeOpenEngineOptions> = {},
  told: Partial<EngineInfo> = {},
): Promise<FakeEngine> {
  const settings = { vocabSize: fakeVocabSize, blocks: 128, maxModelLen, maxNumSeqs: 16, ...options };
  const core = createFakeCore(settings);
  const info: EngineInfo = {
    device: 'cpu',
    isa: 'fake',
    vocabSize: fakeVocabSize,
    hiddenSize: fakeHiddenSize,
    maxModelLen: settings.maxModelLen,
    maxNumSeqs: settings.maxNumSeqs,
    maxNumBatchedTokens: 64,
    maxLogprobs: 5,
    maxLoras: settings.lora?.maxLoras,
    blockSize: 16,
    blocks: settings.blocks,
    hasPrefixCaching: true,
    kvCacheDtype: 'float32',
    threads: 1,
    policy: settings.policy ?? 'fcfs',
    hasAsyncScheduling: settings.isAsync ?? false,
    memory: { weights: 0, kvCache: 0, scratch: 0 },
    ...told,
  };
  const crashes: Error[] = [];
  const engine = await EngineClient.open({
    transport: createInlineTransport(core, info),
    onCrash: (error) => crashes.push(error),
  });
  const tokenizer = createByteTokenizer(fakeVocabSize);
  const server = await serveOpenEngine({
    engine,
    tokenizer,
    prompts: createPromptEncoder(tokenizer, createChatTemplate(template, tokenizer)),
    outputFormats: { toolCalls: undefined, reasoning: undefined },
    modelPath: '/models/fake',
    modelNames: ['fake', 'alias'],
    defaults: {},
    hasSleepMode: false,
    version: '1.2.3',
    gpuMemoryUtilization: undefined,
    host: '127.0.0.1',
    port: 0,
    apiKey: undefined,
    kvEvents: undefined,
    log: silentLog,
    ...serving,
  });
  const url = `http://127.0.0.1:${server.port}`;
  return {
    url,
    core,
    server,
    crashes,
    post: (path, body, headers = {}) =>
      fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    get: (path, headers = {}) => fetch(url + path, { headers }),
  };
}

/** Letters only, so that text is readable and whole. */
export const letters = Array.from({ length: 26 }, (_, i) => 97 + i);

/** Anything that the server answers; each kind of answer has some of these fields. */
export interface Answer {
  readonly id: string;
  readonly object: string;
  readonly model: string;
  readonly choices: readonly AnswerChoice[];
  readonly usage: AnswerUsage;
  readonly error: { readonly message: string; readonly type: string; readonly code: number };
  readonly data: readonly { readonly id: string }[];
  readonly tokens: readonly number[];
  readonly count: number;
}

export interface AnswerChoice {
  readonly index: number;
  readonly text: string;
  readonly message: {
    readonly role: string;
    readonly content: string | null;
    readonly reasoning?: string | null;
    readonly tool_calls: readonly AnswerCall[];
  };
  readonly delta: {
    readonly role?: string;
    readonly content?: string;
    readonly reasoning?: string;
    readonly tool_calls?: readonly AnswerCall[];
  };
  readonly finish_reason: string | null;
  readonly stop_reason: string | number | null;
  readonly logprobs: {
    readonly tokens: readonly string[];
    readonly token_logprobs: readonly number[];
    readonly top_logprobs: readonly Readonly<Record<string, number>>[];
    readonly text_offset: readonly number[];
    readonly content: readonly {
      readonly token: string;
      readonly bytes: readonly number[];
      readonly top_logprobs: readonly unknown[];
    }[];
  };
}

export interface AnswerCall {
  readonly index?: number;
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface AnswerUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

export async function readAnswer(response: Response | Promise<Response>): Promise<Answer> {
  return (await (await response).json()) as Answer;
}

/** The events of a stream; that it ends with `[DONE]` is checked here. */
export async function readEvents(response: Response): Promise<Answer[]> {
  const text = await response.text();
  const payloads = text.split('\n\n').filter((event) => event !== '');
  if (payloads.pop() !== 'data: [DONE]') throw new Error(`the stream ends with ${text.slice(-200)}`);
  return payloads.map((event) => JSON.parse(event.replace(/^data: /, '')) as Answer);
}
