import type { AddressInfo } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { RunningServer } from '../protocol/running-server.ts';
import type { Log } from '../telemetry/index.ts';
import type { PromptEncoder, Tokenizer } from '../tokenizer/index.ts';
import type { EngineClient } from './engine-client.ts';
import type { KvEventPublisher, KvEventsConfig } from './kv-events/index.ts';
import { openKvEventPublisher } from './kv-events/index.ts';
import type { LoraModule } from './lora/index.ts';
import { defaultPooling, type PoolingConfig } from './pooling-config.ts';
import { trackConnections } from './server/connections.ts';
import { createEngineMetrics } from './server/engine-metrics.ts';
import type { GenerationDefaults } from './server/generation-options.ts';
import type { ChatDefaults, OutputFormats, ServerContext } from './server/index.ts';
import { createEngineServer } from './server/index.ts';
import { ServedAdapters } from './server/served-adapters.ts';
import { nowSeconds } from './server/server-context.ts';
import { StoredResponses } from './server/stored-responses.ts';
import type { TlsFiles } from './server/tls-files.ts';

export interface ServeOpenEngineOptions {
  /** Closed with the server. */
  readonly engine: EngineClient;
  readonly tokenizer: Tokenizer;
  /** Closed with the server. */
  readonly prompts: PromptEncoder;
  readonly outputFormats: OutputFormats;
  readonly modelPath: string;
  readonly modelNames: readonly string[];
  /** Loaded with the engine. */
  readonly adapters?: readonly LoraModule[];
  readonly defaults: GenerationDefaults;
  /** How messages become prompts. */
  readonly chat?: ChatDefaults;
  /** How embeddings are made. */
  readonly pooling?: PoolingConfig;
  readonly storesResponses?: boolean;
  readonly hasSleepMode: boolean;
  readonly version: string;
  readonly gpuMemoryUtilization: number | undefined;
  readonly host: string;
  readonly port: number;
  /** A Unix socket instead of host and port. */
  readonly uds?: string | undefined;
  /** Absent: plain HTTP. */
  readonly tls?: TlsFiles | undefined;
  readonly streamInterval?: number;
  readonly forcesUsage?: boolean;
  readonly hasRequestIdHeaders?: boolean;
  readonly apiKey: string | readonly string[] | undefined;
  readonly allowedOrigins?: readonly string[];
  readonly namesTokensById?: boolean;
  /** Absent: KV events stay here. */
  readonly kvEvents: KvEventsConfig | undefined;
  readonly log: Log;
}

export interface RunningEngine extends RunningServer {
  readonly kvEvents: KvEventPublisher | undefined;
  readonly engine: EngineClient;
}

const maxChoices = 128;
const defaultDeadlineMs = 30_000;

/** Serves an engine that is open already. Rejects if a port cannot be had. */
export async function serveOpenEngine(options: ServeOpenEngineOptions): Promise<RunningEngine> {
  const { engine, log } = options;
  const kvEvents =
    options.kvEvents === undefined ? undefined : await publishKvEvents(options.kvEvents, options);
  const metrics = createEngineMetrics({
    modelName: options.modelNames[0]!,
    info: engine.info,
    gpuMemoryUtilization: options.gpuMemoryUtilization,
    gauges: () => engine.gauges,
    sleepLevel: () => engine.sleepLevel,
  });
  engine.observe({
    onStep: ({ stepTokens }) => {
      if (stepTokens > 0) metrics.iterationTokens.observe(stepTokens);
    },
    onBlockLives: (lives) => {
      for (const { lifetimeSeconds, idleSeconds, reuseGapsSeconds } of lives) {
        metrics.kvBlocks?.lifetime.observe(lifetimeSeconds);
        metrics.kvBlocks?.idleBeforeEvict.observe(idleSeconds);
        for (const gap of reuseGapsSeconds) metrics.kvBlocks?.reuseGap.observe(gap);
      }
    },
  });
  const context: ServerContext = {
    engine,
    tokenizer: options.tokenizer,
    prompts: options.prompts,
    outputFormats: options.outputFormats,
    metrics,
    modelNames: options.modelNames,
    modelPath: options.modelPath,
    adapters: new ServedAdapters(
      engine,
      options.modelNames,
      (options.adapters ?? []).map((adapter) => ({ ...adapter, createdSeconds: nowSeconds() })),
    ),
    limits: {
      vocabSize: engine.info.vocabSize,
      maxLogprobs: engine.info.maxLogprobs,
      maxChoices,
      isPriorityScheduling: engine.info.policy === 'priority',
      forcesUsage: options.forcesUsage ?? false,
      namesTokensById: options.namesTokensById ?? false,
      defaults: options.defaults,
    },
    chat: options.chat ?? { trustsRequestTemplates: false, variables: {} },
    pooling: options.pooling ?? defaultPooling,
    responses: options.storesResponses === true ? new StoredResponses() : undefined,
    hasSleepMode: options.hasSleepMode,
    hasRequestIdHeaders: options.hasRequestIdHeaders ?? false,
    streamInterval: options.streamInterval ?? 1,
    version: options.version,
    createdSeconds: nowSeconds(),
    load: 0,
    isClosing: false,
  };
  const apiKeys = options.apiKey === undefined ? [] : [options.apiKey].flat();
  const { tls, allowedOrigins } = options;
  const app = createEngineServer({ context, apiKeys, allowedOrigins, tls: tls?.serverOptions, log });
  const stopFollowing = tls?.serve(app.server as unknown as TlsServer);
  const connections = trackConnections(app.server, tls !== undefined);
  const { uds, host, port } = options;
  await app
    .listen(uds === undefined ? { host, port } : { path: uds })
    .catch((error: NodeJS.ErrnoException) => {
      stopFollowing?.();
      kvEvents?.close();
      throw explainListen(options, error);
    });
  const bound = app.server.address() as AddressInfo | string;
  let closing: Promise<void> | undefined;

  const close = async (deadlineMs: number): Promise<void> => {
    context.isClosing = true;
    stopFollowing?.();
    const cut = setTimeout(() => {
      log.warn({ requests: engine.liveRequests }, 'the deadline has passed; requests are cut');
      app.server.closeAllConnections();
      context.responses?.cancelAll();
    }, deadlineMs);
    const closed = app.close();
    connections.drain();
    await closed;
    await context.responses?.settled();
    clearTimeout(cut);
    await engine.close();
    await options.prompts.close();
    kvEvents?.close();
  };
  return {
    engine,
    kvEvents,
    ...addressOf(bound),
    close: (deadlineMs = defaultDeadlineMs) => {
      closing ??= close(deadlineMs);
      return closing;
    },
  };
}

async function publishKvEvents(
  config: KvEventsConfig,
  { engine, log }: ServeOpenEngineOptions,
): Promise<KvEventPublisher> {
  if (!engine.info.hasPrefixCaching)
    log.warn({}, 'prefix caching is off: there will be no KV events to publish');
  const publisher = await openKvEventPublisher(config, log);
  engine.observe({ onKvEvents: publisher.publish });
  const { endpoint, replayEndpoint } = publisher;
  log.info({ endpoint, replayEndpoint, topic: config.topic }, 'KV events are published');
  return publisher;
}

function addressOf(bound: AddressInfo | string): { readonly address: string; readonly port: number } {
  if (typeof bound === 'string') return { address: `unix:${bound}`, port: 0 };
  const { address, family, port } = bound;
  return { address: `${family === 'IPv6' ? `[${address}]` : address}:${port}`, port };
}

function explainListen({ host, port, uds }: ServeOpenEngineOptions, error: NodeJS.ErrnoException): Error {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the port is in use; stop what listens there or choose another --port',
    EACCES: 'this process may not use that port; choose one above 1023',
    EADDRNOTAVAIL: 'this machine has no such address; choose another --host',
  };
  const reasonsOfFile: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the file is there already; remove it if nothing listens on it',
    // Node says the same of a folder that is not there.
    EACCES: 'this process cannot make a file there; choose a folder that exists and that it may write to',
  };
  const reason = (uds === undefined ? reasons : reasonsOfFile)[error.code ?? ''] ?? error.message;
  return new Error(`cannot listen on ${uds ?? `${host}:${port}`}: ${reason}`, { cause: error });
}
