import { EngineClient } from '../../../src/engine/engine-client.ts';
import type { EngineCore, EngineCoreOptions } from '../../../src/engine/engine-core.ts';
import type { EngineInfo } from '../../../src/engine/engine-messages.ts';
import { createInlineTransport } from '../../../src/engine/engine-transport.ts';
import type { RunningEngine, ServeOpenEngineOptions } from '../../../src/engine/serve-open-engine.ts';
import { serveOpenEngine } from '../../../src/engine/serve-open-engine.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createByteTokenizer, createChatTemplate } from '../../../src/tokenizer/index.ts';
import { createFakeCore } from './fake-core.ts';

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
): Promise<FakeEngine> {
  const settings = { vocabSize: fakeVocabSize, blocks: 128, maxModelLen, maxNumSeqs: 16, ...options };
  const core = createFakeCore(settings);
  const info: EngineInfo = {
    device: 'cpu',
    isa: 'fake',
    vocabSize: fakeVocabSize,
    maxModelLen: settings.maxModelLen,
    maxNumSeqs: settings.maxNumSeqs,
    maxNumBatchedTokens: 64,
    maxLogprobs: 5,
    blockSize: 16,
    blocks: settings.blocks,
    hasPrefixCaching: true,
    kvCacheDtype: 'float32',
    threads: 1,
    policy: settings.policy ?? 'fcfs',
    memory: { weights: 0, kvCache: 0, scratch: 0 },
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
    chatTemplate: createChatTemplate(template, tokenizer),
    modelPath: '/models/fake',
    modelNames: ['fake', 'alias'],
    defaults: {},
    version: '1.2.3',
    gpuMemoryUtilization: undefined,
    host: '127.0.0.1',
    port: 0,
    apiKey: undefined,
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

// biome-ignore lint/suspicious/noExplicitAny: answers are checked field by field by the tests that read them.
export type Json = any;

/** The `data:` payloads of an event stream, `[DONE]` as text. */
export async function readEvents(response: Response): Promise<Json[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      const data = event.replace(/^data: /, '');
      return data === '[DONE]' ? data : JSON.parse(data);
    });
}
