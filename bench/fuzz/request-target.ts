import { EngineClient } from '../../src/engine/engine-client.ts';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import { createInlineTransport } from '../../src/engine/engine-transport.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { reasoningFormats, toolCallFormats } from '../../src/engine/output-parsers/index.ts';
import { serveOpenEngine } from '../../src/engine/serve-open-engine.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import {
  createChatTemplate,
  createPromptEncoder,
  createTokenizerThread,
  loadTokenizer,
  splitByLength,
} from '../../src/tokenizer/index.ts';

/** Reads everything that a template may: roles, contents, calls, tools, documents. */
const chatTemplate = `{% if tools %}{{ tools | tojson }}{% endif %}{% if documents %}{{ documents | tojson }}{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}
{%- if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{% endif %}<|im_end|>
{%- endfor %}{% if enable_thinking is defined and enable_thinking %}think{% endif %}{% if add_generation_prompt %}<|im_start|>a{% endif %}`;

export interface RequestTarget {
  readonly url: string;
  /** What the server has logged as its own fault since the last call. */
  takeErrors(): readonly string[];
  /** What is wrong now that every request has its answer. */
  leftBehind(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface RequestTargetOptions {
  /** A model's folder. */
  readonly model: string;
  /** Long prompts go to the tokenizer's thread, whose entry must have been built to JavaScript. */
  readonly hasTokenizerThread: boolean;
}

/** The engine's own server over a real model, on this thread, so that its state can be looked at. */
export async function openRequestTarget({
  model,
  hasTokenizerThread,
}: RequestTargetOptions): Promise<RequestTarget> {
  const { tokenizer } = loadTokenizer(model)!;
  const { core, info } = openEngine(
    toOpenOptions(
      {
        model,
        threads: 1,
        maxModelLen: 512,
        maxNumSeqs: 24,
        maxNumBatchedTokens: 256,
        numGpuBlocksOverride: 48,
        schedulingPolicy: 'priority',
        enableLora: true,
        prefixHashSeed: 'fuzz',
      },
      [],
    ),
  );
  const crashes: Error[] = [];
  const errors: string[] = [];
  const inline = createInlineTransport(core, info);
  const engine = await EngineClient.open({
    // Between threads commands are cloned, and some values cannot be.
    transport: { ...inline, send: (command) => inline.send(structuredClone(command)) },
    onCrash: (error) => crashes.push(error),
  });
  const here = createPromptEncoder(tokenizer, createChatTemplate(chatTemplate, tokenizer));
  const server = await serveOpenEngine({
    engine,
    tokenizer,
    prompts: hasTokenizerThread
      ? splitByLength(here, createTokenizerThread({ source: model, chatTemplate }))
      : here,
    outputFormats: { toolCalls: toolCallFormats['hermes'], reasoning: reasoningFormats['qwen3'] },
    modelPath: model,
    modelNames: ['mini', 'alias'],
    defaults: {},
    storesResponses: true,
    chat: { trustsRequestTemplates: true, variables: {} },
    hasSleepMode: false,
    version: '0.0.0',
    gpuMemoryUtilization: undefined,
    host: '127.0.0.1',
    port: 0,
    apiKey: undefined,
    kvEvents: undefined,
    log: { ...silentLog, error: (fields) => errors.push(stackOf(fields)) },
  });
  const url = `http://${server.address}`;
  return {
    url,
    takeErrors: () => errors.splice(0),
    leftBehind: async () => {
      await until(() => engine.liveRequests === 0 && !core.hasWork);
      const { server_load: load } = (await (await fetch(`${url}/load`)).json()) as { server_load: number };
      return [
        ...crashes.map((error) => `the engine died: ${error.message}`),
        ...(engine.liveRequests > 0 ? [`${engine.liveRequests} requests never end`] : []),
        ...(load > 0 ? [`the server counts ${load} requests`] : []),
        ...leftInCore(core),
      ];
    },
    close: () => server.close(0),
  };
}

function stackOf(fields: object): string {
  const error: unknown = 'err' in fields ? fields.err : fields;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function leftInCore(core: EngineCore): readonly string[] {
  const { running, waiting, kvCacheUsage } = core.gauges;
  const left: string[] = [];
  if (running + waiting > 0) left.push(`${running} sequences run, ${waiting} wait`);
  if (kvCacheUsage > 0) left.push(`${kvCacheUsage} of the KV blocks are held`);
  try {
    core.checkIntegrity();
  } catch (error) {
    left.push((error as Error).message);
  }
  return left;
}

/** Waits for what ends by itself; gives up after ten seconds. */
async function until(isDone: () => boolean): Promise<void> {
  for (let waits = 0; waits < 1_000 && !isDone(); waits++)
    await new Promise((resolve) => setTimeout(resolve, 10));
}
