import { z } from 'zod';
import { type Mapping, type PluginType, pluginType, type Setting, withoutEffect } from '../plugin-type.ts';
import { duration, durationMs } from '../values.ts';
import { engineConfig, toEngineMetrics } from './engine-configs.ts';

const data = ['data'] as const;
/** llm-d raises smaller blocks to this, too: shorter ones cost more than they tell. */
const leastBlockTokens = 64;

const approxPrefix = z.strictObject({
  autoTune: z.boolean().default(true),
  blockSizeTokens: z.int().min(0).default(16),
  /** Deprecated: characters; llm-d takes it for tokens when blockSizeTokens is absent. */
  blockSize: z.int().min(0).default(0),
  maxPrefixBlocksToMatch: z.int().min(0).default(2048),
  maxPrefixTokensToMatch: z.int().min(0).default(131_072),
  lruCapacityPerServer: z.int().positive().default(31_250),
});

const inFlightLoad = z.strictObject({
  addEstimatedOutputTokens: z.boolean().default(false),
  outputRatio: z.number().min(0).default(1.5),
  maxEstimatedOutputTokens: z.int().optional(),
  prefixMatchInfoProducerName: z.string().optional(),
  syncCrossReplicaState: z.boolean().optional(),
});

const tokens = z.strictObject({
  modelName: z.string().optional(),
  estimate: z.record(z.string(), z.unknown()).optional(),
  vllm: z.record(z.string(), z.unknown()).optional(),
  udsTokenizerConfig: z.record(z.string(), z.unknown()).optional(),
});

const tokenProducer = pluginType({
  roles: data,
  parameters: tokens,
  map: ({ vllm, udsTokenizerConfig, estimate }): Mapping => {
    if (vllm !== undefined || udsTokenizerConfig !== undefined)
      return {
        kind: 'refused',
        note: 'prompts are not sent to a tokenizer; lengths are estimated at 4 bytes a token: leave `vllm` out, or say `estimate: {}`',
      };
    const hasMedia = estimate !== undefined && Object.keys(estimate).length > 0;
    return hasMedia
      ? { kind: 'ignored', note: 'images and videos count by the bytes of their text, 4 a token' }
      : { kind: 'built in', note: 'prompt length is estimated at 4 bytes a token' };
  },
});

const scrape = z.strictObject({
  scheme: z.enum(['http', 'https']).default('http'),
  path: z.string().default('/metrics'),
  port: z.int().optional(),
  insecureSkipVerify: z.boolean().default(true),
  caCertPath: z.string().optional(),
  clientCertPath: z.string().optional(),
  clientKeyPath: z.string().optional(),
  /** Only the figures that we know are looked at, whatever it says. */
  families: z.array(z.string()).optional(),
  interval: z.union([duration, z.literal('')]).optional(),
});

function scrapeSettings({ scheme, path, port, interval, ...tls }: z.output<typeof scrape>): Mapping {
  if (port !== undefined)
    return { kind: 'refused', note: 'engines are scraped at their own port; remove `port`' };
  if (scheme === 'https' && tls.caCertPath !== undefined)
    return {
      kind: 'refused',
      note: 'name the file in the environment variable NODE_EXTRA_CA_CERTS; remove `caCertPath`, and set `insecureSkipVerify: false`',
    };
  if (scheme === 'https' && (tls.clientCertPath ?? tls.clientKeyPath) !== undefined)
    return {
      kind: 'refused',
      note: 'engines get no certificate of ours; remove clientCertPath, clientKeyPath',
    };
  const values: Setting[] = [];
  const set = (key: string, value: unknown) => values.push({ path: ['pool', 'scrape', key], value });
  if (scheme === 'https') set('scheme', scheme);
  if (scheme === 'https') set('verifyTls', !tls.insecureSkipVerify);
  if (path !== '/metrics') set('path', path);
  const intervalMs = interval ? durationMs(interval) : undefined;
  if (intervalMs) set('intervalMs', intervalMs);
  return values.length > 0
    ? { kind: 'settings', values }
    : { kind: 'built in', note: 'engines are scraped at /metrics' };
}

const notKept = (what: string) => withoutEffect('ignored', data, what);

/** Output tokens per prompt token that an in-flight producer adds; 0 if it adds none. */
export function outputRatioOf(parameters: unknown): number {
  const given = inFlightLoad.safeParse(parameters ?? {}).data;
  return given?.addEstimatedOutputTokens ? given.outputRatio : 0;
}

export const dataPlugins: Readonly<Record<string, PluginType>> = {
  'approx-prefix-cache-producer': pluginType({
    roles: data,
    parameters: approxPrefix,
    map: (given): Mapping => {
      const { blockSizeTokens, blockSize, maxPrefixTokensToMatch, maxPrefixBlocksToMatch } = given;
      const wanted = given.autoTune ? leastBlockTokens : blockSizeTokens || blockSize;
      const blockTokens = Math.max(leastBlockTokens, wanted);
      const ofBlocks = maxPrefixBlocksToMatch > 0 ? maxPrefixBlocksToMatch * blockTokens : 2 ** 31;
      return {
        kind: 'settings',
        values: [
          { path: ['prefixIndex', 'blockTokens'], value: blockTokens },
          { path: ['prefixIndex', 'maxPromptTokens'], value: maxPrefixTokensToMatch || ofBlocks },
          { path: ['prefixIndex', 'blocksPerEndpoint'], value: given.lruCapacityPerServer },
          ...(given.autoTune ? [] : [{ path: ['prefixIndex', 'followsEngines'], value: false }]),
        ],
        note: given.autoTune ? 'until an engine tells how many blocks it has' : 'whatever engines tell',
      };
    },
  }),
  'inflight-load-producer': pluginType({
    roles: data,
    parameters: inFlightLoad,
    map: ({
      addEstimatedOutputTokens,
      outputRatio,
      maxEstimatedOutputTokens,
      syncCrossReplicaState,
    }): Mapping => {
      if (addEstimatedOutputTokens && maxEstimatedOutputTokens !== undefined)
        return {
          kind: 'refused',
          note: 'estimated output tokens have no upper bound; remove maxEstimatedOutputTokens',
        };
      if (syncCrossReplicaState === true)
        return { kind: 'ignored', note: 'replicas do not share their counts; each counts its own requests' };
      const ratio = addEstimatedOutputTokens
        ? `; outputRatio ${outputRatio} goes to the plugins that read it`
        : '';
      return { kind: 'built in', note: `our own requests are always counted${ratio}` };
    },
  }),
  'token-producer': tokenProducer,
  tokenizer: tokenProducer,
  'metrics-data-source': pluginType({
    roles: data,
    parameters: scrape,
    map: scrapeSettings,
  }),
  'core-metrics-extractor': pluginType({
    roles: data,
    parameters: z.strictObject({
      engineLabelKey: z.string().optional(),
      defaultEngine: z.string().optional(),
      engineConfigs: z.array(engineConfig).default([]),
    }),
    map: ({ engineConfigs }): Mapping => {
      const known = 'vLLM, SGLang, TensorRT-LLM and Triton are told apart by the names of their metrics';
      if (engineConfigs.length === 0) return { kind: 'built in', note: known };
      const values: Setting[] = [
        { path: ['pool', 'engineMetrics'], value: engineConfigs.map(toEngineMetrics) },
      ];
      const warning = engineConfigs.some(({ customMetrics }) => customMetrics.length > 0)
        ? { warning: 'customMetrics have no effect: nothing here reads them' }
        : {};
      return { kind: 'settings', values, note: known, ...warning };
    },
  }),
  'models-data-source': withoutEffect('built in', data, 'models are read from /v1/models'),
  'models-data-extractor': withoutEffect('built in', data, 'models are read from /v1/models'),
  'file-discovery': pluginType({
    roles: data,
    parameters: z.strictObject({ path: z.string().min(1), watchFile: z.boolean().default(false) }),
    map: ({ path }): Mapping => ({
      kind: 'settings',
      values: [{ path: ['pool', 'file'], value: path }],
      note: 'always followed',
    }),
  }),
  'precise-prefix-cache-producer': withoutEffect(
    'refused',
    data,
    'KV events of engines are not read; use approx-prefix-cache-producer, which works from the prompts that were sent',
  ),
  'latency-observer-producer': notKept('delays are learnt by the strategies of our own only'),
  'burst-prefix-cache-producer': withoutEffect(
    'refused',
    data,
    'requests are not held to be grouped; use approx-prefix-cache-producer',
  ),
  'p2p-source-producer': withoutEffect(
    'refused',
    data,
    'no source of KV blocks is named to engines; remove it',
  ),
  'predicted-latency-producer': notKept('there is no latency predictor'),
  'mm-embeddings-cache-producer': notKept('embeddings of images are not tracked'),
  'session-id-producer': notKept('session plugins read their header themselves'),
  'dcgm-data-source': notKept('GPU exporters are not scraped'),
  'dcgm-extractor': notKept('GPU exporters are not scraped'),
  'topology-extractor': notKept('topology is not read'),
  'k8s-notification-source': notKept('Kubernetes objects are not watched yet'),
  'endpoint-notification-source': notKept('discovery tells the pool itself'),
  'multicluster-metrics-data-source': withoutEffect('refused', data, 'there is no hub over clusters'),
  'multicluster-metrics-extractor': withoutEffect('refused', data, 'there is no hub over clusters'),
  'multicluster-file-discovery': withoutEffect('refused', data, 'there is no hub over clusters'),
  'multicluster-approx-prefix-cache-producer': withoutEffect(
    'refused',
    data,
    'there is no hub over clusters',
  ),
};
