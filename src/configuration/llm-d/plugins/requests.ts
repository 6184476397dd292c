import { z } from 'zod';
import { type PluginType, pluginType, withoutEffect } from '../plugin-type.ts';

const request = ['request'] as const;
const parser = (note: string) => withoutEffect('built in', ['parser'], note);
const policy = withoutEffect(
  'ignored',
  ['flow control'],
  'waiting requests have an order of their own: priorities first, then tenants in turn by the tokens they were served',
);
const usageLimit = withoutEffect(
  'ignored',
  ['flow control'],
  'every priority may use all the room that there is',
);
const saturation =
  "a saturated pool is no reason here: with flow control requests wait for an engine's undone prefill and its KV memory, without it none is shed";

const utilizationDetector = z.strictObject({
  queueDepthThreshold: z.int().positive().default(5),
  kvCacheUtilThreshold: z.number().positive().max(1).default(0.8),
  metricsStalenessThreshold: z.string().optional(),
  headroom: z.number().min(0).default(0),
});

const concurrencyDetector = z.strictObject({
  maxConcurrency: z.int().positive().default(100),
  maxTokenConcurrency: z.int().positive().default(1_000_000),
  headroom: z.number().min(0).default(0),
  concurrencyMode: z.enum(['requests', 'tokens', 'hybrid']).default('requests'),
  inFlightLoadProducerName: z.string().optional(),
});

/** Detectors are filters, too, when a profile lists them; `mapping` of import-config tells which use it is. */
export const requestPlugins: Readonly<Record<string, PluginType>> = {
  'utilization-detector': pluginType({
    roles: ['filter', 'flow control'],
    parameters: utilizationDetector,
    map: ({ queueDepthThreshold, kvCacheUtilThreshold, headroom }) => ({
      kind: 'plugin',
      role: 'filter',
      name: 'utilization',
      parameters: {
        limits: [
          `waiting-queue<${queueDepthThreshold * (1 + headroom)}`,
          `kv-cache-utilization<${kvCacheUtilThreshold * (1 + headroom)}`,
        ],
        fallsBackToAll: true,
      },
      fullEndpoint: { waitingRequests: queueDepthThreshold, kvCacheUsage: kvCacheUtilThreshold },
      note: saturation,
    }),
  }),
  'concurrency-detector': pluginType({
    roles: ['filter', 'flow control'],
    parameters: concurrencyDetector,
    map: ({ maxConcurrency, headroom, concurrencyMode }) =>
      concurrencyMode === 'requests'
        ? {
            kind: 'plugin',
            role: 'filter',
            name: 'utilization',
            parameters: {
              limits: [`active-requests<${Math.floor(maxConcurrency * (1 + headroom))}`],
              fallsBackToAll: false,
            },
            fullEndpoint: { inFlightRequests: maxConcurrency },
            note: saturation,
          }
        : { kind: 'refused', note: 'tokens in flight are no limit here; set `concurrencyMode: requests`' },
  }),
  'max-saturation-detector': withoutEffect('ignored', ['flow control'], saturation),
  'fcfs-ordering-policy': policy,
  'edf-ordering-policy': policy,
  'slo-deadline-ordering-policy': policy,
  'global-strict-fairness-policy': policy,
  'round-robin-fairness-policy': policy,
  'program-aware-fairness': policy,
  'static-usage-limit-policy': usageLimit,
  'priority-holdback-policy': usageLimit,
  'soft-reflective-ceiling-policy': usageLimit,
  'sheddable-eviction-filter': withoutEffect('ignored', ['flow control'], 'running requests are not evicted'),
  'priority-then-time-eviction-order-policy': withoutEffect(
    'ignored',
    ['flow control'],
    'running requests are not evicted',
  ),
  'latency-slo-admitter': withoutEffect('ignored', request, 'no request is denied for its latency'),
  'probabilistic-admitter': withoutEffect('ignored', request, 'no request is denied at random'),
  'outlen-bucket': withoutEffect('ignored', request, 'answers are not guessed to be short or long'),
  'models-responder': withoutEffect('ignored', request, 'GET /v1/models is answered by an engine'),
  'agent-identity': withoutEffect(
    'ignored',
    request,
    'the fairness id is read from its own header, or from the one that flowControl.tenantHeader of a configuration of ours names',
  ),
  'request-attribute-reporter': withoutEffect('ignored', request, 'responses get no metadata about usage'),
  'destination-endpoint-served-verifier': withoutEffect('ignored', request, 'it is for tests of data planes'),
  'disaggregatedset-rollout-screener': withoutEffect(
    'refused',
    request,
    'revisions of a rollout are not told apart; use label-selector-filter',
  ),
  'openai-parser': parser('OpenAI requests are told by their path'),
  'anthropic-parser': parser('Anthropic requests are told by their path'),
  'vllmhttp-parser': parser("vLLM's generate is told by its path"),
  'sglanghttp-parser': parser("SGLang's generate is told by its path"),
  'passthrough-parser': parser('other paths are passed on'),
  'vllmgrpc-parser': withoutEffect(
    'refused',
    ['parser'],
    'gRPC engines are not served; use the HTTP server of vLLM',
  ),
  'vertexai-parser': withoutEffect(
    'refused',
    ['parser'],
    'Vertex AI paths are not parsed; use openai-parser',
  ),
};
