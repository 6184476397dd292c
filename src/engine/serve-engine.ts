import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '../telemetry/index.ts';
import { createLog } from '../telemetry/index.ts';
import type { ContentFormat, LoadedTokenizer, PromptEncoder, TokenizerFiles } from '../tokenizer/index.ts';
import {
  createByteTokenizer,
  createChatTemplate,
  createPromptEncoder,
  createTokenizer,
  createTokenizerThread,
  loadTokenizer,
  splitByLength,
} from '../tokenizer/index.ts';
import { EngineClient } from './engine-client.ts';
import type { EngineOptions } from './engine-options.ts';
import { createWorkerTransport } from './engine-transport.ts';
import { overridingGenerationConfig, readGenerationConfig } from './generation-config.ts';
import { readKvEventsConfig } from './kv-events/index.ts';
import { readLoraConfig } from './lora/index.ts';
import { readGguf } from './model/gguf/gguf-file.ts';
import { ggufTokenizer } from './model/gguf/gguf-tokenizer.ts';
import { isGgufFile, readModelConfig } from './model/model-files.ts';
import { reasoningFormats, toolCallFormats } from './output-parsers/index.ts';
import { readPoolingConfig } from './pooling-config.ts';
import type { RunningEngine } from './serve-open-engine.ts';
import { serveOpenEngine } from './serve-open-engine.ts';
import type { OutputFormats } from './server/index.ts';
import type { TlsFileOptions } from './server/tls-files.ts';
import { TlsFiles } from './server/tls-files.ts';
import { toOpenOptions } from './to-open-options.ts';

/**
 * Opens the model in its own thread and serves it. Rejects with one clear message if the folder, the weights,
 * the memory or the port do not allow it.
 */
export async function serveEngine(options: EngineOptions): Promise<RunningEngine> {
  const startedMs = performance.now();
  const log = options.log ?? createLog({ level: 'info', format: 'auto' });
  checkModel(options.model);
  const recommended = readGenerationConfig(options.model);
  const override = overridingGenerationConfig(options.overrideGenerationConfig ?? {});
  const eosTokenIds = [...recommended.eosTokenIds, ...override.eosTokenIds];
  const outputFormats = readOutputFormats(options);
  const kvEvents = readKvEventsConfig(options.kvEventsConfig);
  const tlsFiles = readTls(options);
  const tls = tlsFiles && new TlsFiles(tlsFiles, log);
  const pooling = readPoolingConfig(options.model, options.poolerConfig);
  checkTokenizer(options);
  const opening = EngineClient.open({
    transport: createWorkerTransport(toOpenOptions(options, eosTokenIds)),
    onLoading: logProgress(log),
    onCrash: options.onCrash ?? exitAfterCrash(log),
  });
  // In this thread, while the other one loads the weights.
  const loaded = await readTokenizerBeside(opening, options);
  const { tokenizer } = loaded;
  const engine = await opening;
  engine.endTextAt([tokenizer.eosTokenId].filter((tokenId) => tokenId !== undefined));
  let prompts: PromptEncoder | undefined;
  try {
    prompts = createPrompts(loaded, options.chatTemplateContentFormat);
    const server = await serveOpenEngine({
      engine,
      tokenizer,
      prompts,
      outputFormats,
      pooling,
      chat: {
        trustsRequestTemplates: options.trustRequestChatTemplate ?? false,
        variables: options.defaultChatTemplateKwargs ?? {},
      },
      modelPath: options.model,
      adapters: readLoraConfig(options)?.modules ?? [],
      modelNames: options.servedModelName ?? [options.model],
      defaults: { ...(options.generationConfig === 'vllm' ? {} : recommended), ...override },
      uds: options.uds,
      streamInterval: options.streamInterval ?? 1,
      forcesUsage: options.enableForceIncludeUsage ?? false,
      hasRequestIdHeaders: options.enableRequestIdHeaders ?? false,
      storesResponses: options.enableResponsesStore ?? false,
      hasSleepMode: options.enableSleepMode ?? false,
      version: packageVersion(),
      gpuMemoryUtilization: options.gpuMemoryUtilization,
      host: options.host ?? '127.0.0.1',
      port: options.port ?? 8000,
      apiKey: options.apiKey,
      ...(options.allowedOrigins && { allowedOrigins: options.allowedOrigins }),
      namesTokensById: options.returnTokensAsTokenIds ?? false,
      tls,
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

function checkModel(model: string): void {
  const found = existsSync(model)
    ? statSync(model).isDirectory() || isGgufFile(model)
      ? undefined
      : 'is a file of another kind'
    : 'does not exist';
  if (found !== undefined)
    throw new Error(
      `the model must be a folder with config.json, safetensors and tokenizer.json, or a .gguf file; ${model} ${found}`,
    );
}

/** The chat template of a model without a tokenizer: roles and contents, line by line. */
const plainChatTemplate =
  '{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}';

/** The tokenizer of this engine, and from what a thread can make another one; absent: text is bytes. */
interface ModelTokenizer extends LoadedTokenizer {
  readonly source: string | TokenizerFiles | undefined;
}

/** What is missing is told at once, not after the weights are loaded. */
function checkTokenizer({ model, tokenizer, loadFormat, chatTemplate }: EngineOptions): void {
  const folder = tokenizer ?? model;
  const file = join(folder, 'tokenizer.json');
  const isNeeded = tokenizer !== undefined || loadFormat !== 'dummy';
  if (isNeeded && !isGgufFile(folder) && !existsSync(file))
    throw new Error(
      tokenizer === undefined
        ? `${file} does not exist; without it only --load-format dummy can be served`
        : `--tokenizer: ${file} does not exist`,
    );
  if (chatTemplate !== undefined && !existsSync(chatTemplate))
    throw new Error(`the chat template ${chatTemplate} does not exist`);
}

/** Reads the tokenizer; if it cannot be used, the engine that is being opened is closed again. */
async function readTokenizerBeside(
  opening: Promise<EngineClient>,
  options: EngineOptions,
): Promise<ModelTokenizer> {
  try {
    return readTokenizer(options);
  } catch (error) {
    await opening.then(
      (engine) => engine.close(),
      () => undefined,
    );
    throw error;
  }
}

/** A checkpoint needs its tokenizer; random weights may do without one, their text is bytes then. */
function readTokenizer({ model, tokenizer, chatTemplate }: EngineOptions): ModelTokenizer {
  const loaded = readOwnTokenizer(tokenizer ?? model) ?? byteTokenizer(model);
  if (chatTemplate === undefined) return loaded;
  return { ...loaded, chatTemplate: readFileSync(chatTemplate, 'utf8') };
}

function readOwnTokenizer(model: string): ModelTokenizer | undefined {
  if (!isGgufFile(model)) {
    const loaded = loadTokenizer(model);
    return loaded && { ...loaded, source: model };
  }
  const source = ggufTokenizer(readGguf(model));
  const template = source.config['chat_template'];
  return {
    source,
    tokenizer: createTokenizer(model, source),
    chatTemplate: typeof template === 'string' ? template : undefined,
  };
}

function byteTokenizer(model: string): ModelTokenizer {
  const tokenizer = createByteTokenizer(readModelConfig(model).vocabSize);
  return { tokenizer, chatTemplate: plainChatTemplate, source: undefined };
}

/** Long prompts are encoded in a thread of their own, so that the server goes on answering meanwhile. */
function createPrompts(
  { tokenizer, chatTemplate, source }: ModelTokenizer,
  contentFormat: ContentFormat | undefined,
): PromptEncoder {
  const template =
    chatTemplate === undefined ? undefined : createChatTemplate(chatTemplate, tokenizer, contentFormat);
  const here = createPromptEncoder(tokenizer, template);
  // Text as bytes takes no time.
  return source === undefined
    ? here
    : splitByLength(here, createTokenizerThread({ source, chatTemplate, contentFormat }));
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

/** Undefined: plain HTTP. */
function readTls(options: EngineOptions): TlsFileOptions | undefined {
  const { sslCertfile, sslKeyfile, sslCaCerts, sslCertReqs = 0, sslCiphers } = options;
  if (sslCertfile === undefined) {
    if (sslKeyfile !== undefined || sslCaCerts !== undefined || sslCertReqs > 0)
      throw new Error('--ssl-keyfile, --ssl-ca-certs and --ssl-cert-reqs need --ssl-certfile');
    return undefined;
  }
  return {
    certFile: sslCertfile,
    keyFile: sslKeyfile,
    caFile: sslCaCerts,
    certReqs: sslCertReqs as TlsFileOptions['certReqs'],
    ciphers: sslCiphers,
  };
}

/** One line a second, so that a model that loads at once has none. */
function logProgress(log: Log): (part: number) => void {
  const intervalMs = 1000;
  let nextMs = performance.now() + intervalMs;
  return (part) => {
    if (performance.now() < nextMs) return;
    nextMs = performance.now() + intervalMs;
    log.info({ percent: Math.round(100 * part) }, 'loading weights');
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
