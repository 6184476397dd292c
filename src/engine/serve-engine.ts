import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '../telemetry/index.ts';
import { createLog } from '../telemetry/index.ts';
import type { LoadedTokenizer, PromptEncoder } from '../tokenizer/index.ts';
import {
  createByteTokenizer,
  createChatTemplate,
  createPromptEncoder,
  createTokenizerThread,
  loadTokenizer,
  splitByLength,
} from '../tokenizer/index.ts';
import { EngineClient } from './engine-client.ts';
import type { EngineOptions } from './engine-options.ts';
import { createWorkerTransport } from './engine-transport.ts';
import { readGenerationConfig } from './generation-config.ts';
import { readKvEventsConfig } from './kv-events/index.ts';
import { readModelConfig } from './model/config.ts';
import { reasoningFormats, toolCallFormats } from './output-parsers/index.ts';
import type { RunningEngine } from './serve-open-engine.ts';
import { serveOpenEngine } from './serve-open-engine.ts';
import type { OutputFormats } from './server/index.ts';
import { toOpenOptions } from './to-open-options.ts';

/**
 * Opens the model in its own thread and serves it. Rejects with one clear message if the folder, the weights,
 * the memory or the port do not allow it.
 */
export async function serveEngine(options: EngineOptions): Promise<RunningEngine> {
  const startedMs = performance.now();
  const log = options.log ?? createLog({ level: 'info', format: 'auto' });
  checkFolder(options.model);
  const loaded = readTokenizer(options);
  const { tokenizer } = loaded;
  const recommended = readGenerationConfig(options.model);
  const eosTokenIds = [...recommended.eosTokenIds];
  if (tokenizer.eosTokenId !== undefined) eosTokenIds.push(tokenizer.eosTokenId);
  const outputFormats = readOutputFormats(options);
  const kvEvents = readKvEventsConfig(options.kvEventsConfig);
  const opening = toOpenOptions(options, eosTokenIds);
  const engine = await EngineClient.open({
    transport: createWorkerTransport(opening),
    onCrash: options.onCrash ?? exitAfterCrash(log),
  });
  let prompts: PromptEncoder | undefined;
  try {
    prompts = createPrompts(options, loaded);
    const server = await serveOpenEngine({
      engine,
      tokenizer,
      prompts,
      outputFormats,
      modelPath: options.model,
      modelNames: options.servedModelName ?? [options.model],
      defaults: options.generationConfig === 'vllm' ? {} : recommended,
      hasSleepMode: options.enableSleepMode ?? false,
      version: packageVersion(),
      gpuMemoryUtilization: options.gpuMemoryUtilization,
      host: options.host ?? '127.0.0.1',
      port: options.port ?? 8000,
      apiKey: options.apiKey,
      kvEvents,
      log,
    });
    const startMs = Math.round(performance.now() - startedMs);
    log.info(
      { model: options.model, address: server.address, ...engine.info, startMs },
      'the engine is serving',
    );
    return server;
  } catch (error) {
    await engine.close();
    await prompts?.close();
    throw error;
  }
}

function checkFolder(folder: string): void {
  const found = existsSync(folder)
    ? statSync(folder).isDirectory()
      ? undefined
      : 'is a file'
    : 'does not exist';
  if (found !== undefined)
    throw new Error(
      `the model must be a folder with config.json, safetensors and tokenizer.json; ${folder} ${found}`,
    );
}

/** The chat template of a model without a tokenizer: roles and contents, line by line. */
const plainChatTemplate =
  '{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}';

/** A checkpoint needs its tokenizer; random weights may do without one, their text is bytes then. */
function readTokenizer({ model, loadFormat, chatTemplate }: EngineOptions): LoadedTokenizer {
  const own = loadTokenizer(model);
  if (own === undefined && loadFormat !== 'dummy')
    throw new Error(
      `${join(model, 'tokenizer.json')} does not exist; without it only --load-format dummy can be served`,
    );
  const loaded = own ?? {
    tokenizer: createByteTokenizer(readModelConfig(model).vocabSize),
    chatTemplate: plainChatTemplate,
  };
  if (chatTemplate === undefined) return loaded;
  if (!existsSync(chatTemplate)) throw new Error(`the chat template ${chatTemplate} does not exist`);
  return { ...loaded, chatTemplate: readFileSync(chatTemplate, 'utf8') };
}

/** Long prompts are encoded in a thread of their own, so that the server goes on answering meanwhile. */
function createPrompts(
  { model }: EngineOptions,
  { tokenizer, chatTemplate }: LoadedTokenizer,
): PromptEncoder {
  const template = chatTemplate === undefined ? undefined : createChatTemplate(chatTemplate, tokenizer);
  const here = createPromptEncoder(tokenizer, template);
  // A model without tokenizer.json has text as bytes, which takes no time.
  return existsSync(join(model, 'tokenizer.json'))
    ? splitByLength(here, createTokenizerThread({ folder: model, chatTemplate }))
    : here;
}

/** As in vLLM, calls are recognized only if both flags say so. */
function readOutputFormats(options: EngineOptions): OutputFormats {
  const { enableAutoToolChoice = false, toolCallParser, reasoningParser } = options;
  if (enableAutoToolChoice && toolCallParser === undefined)
    throw new Error(
      `--enable-auto-tool-choice needs --tool-call-parser: one of ${Object.keys(toolCallFormats).join(', ')}`,
    );
  return {
    toolCalls:
      enableAutoToolChoice && toolCallParser !== undefined ? toolCallFormats[toolCallParser] : undefined,
    reasoning: reasoningParser === undefined ? undefined : reasoningFormats[reasoningParser],
  };
}

function exitAfterCrash(log: Log): (error: Error) => void {
  return (error) => {
    log.error({ err: error }, 'the engine died; the process ends');
    process.exitCode = 1;
    // Requests under way get their error first.
    setTimeout(() => process.exit(1), 250);
  };
}

/** The version in the package.json above this file, in `src/` and in `dist/` alike. */
function packageVersion(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    if (dirname(folder) === folder) return 'unknown';
    folder = dirname(folder);
  }
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  return version;
}
