import { z } from 'zod';
import { logFormats, logLevels } from '../telemetry/log.ts';
import { strategies, strategyNames, usualFilters } from './strategies.ts';

/**
 * The single source of the configuration's type, its defaults, its messages and `config/pointsman.schema.json`.
 * Every object is strict: an unknown key is a mistake, not a wish.
 */

const port = (usual: number, what: string) => z.int().min(0).max(65535).default(usual).describe(what);
const milliseconds = (usual: number, what: string) => z.number().positive().default(usual).describe(what);
const count = (usual: number, what: string) => z.int().positive().default(usual).describe(what);
const host = (usual: string) => z.string().min(1).default(usual).describe('Address to listen on.');

const gateway = z
  .strictObject({
    host: host('127.0.0.1'),
    port: port(8080, 'Port of the OpenAI-compatible HTTP gateway; 0 = any free one.'),
    maxBodyBytes: count(32 * 1024 * 1024, 'Longer request bodies are answered with 413.'),
    maxConcurrentRequests: count(10_000, 'Requests in progress, above which new ones get 429.'),
    timeouts: z
      .strictObject({
        connectMs: milliseconds(2000, 'To connect to an engine; the next endpoint is tried after it.'),
        firstByteMs: milliseconds(600_000, "From the request's last byte to the engine's first."),
        idleMs: milliseconds(300_000, 'Longest silence of an engine within an answer.'),
      })
      .prefault({})
      .describe('How long the gateway waits for an engine, milliseconds.'),
    explain: z
      .boolean()
      .default(true)
      .describe('Answer `x-pointsman-explain: true` with the decision; it names endpoints.'),
    apiKeysEnv: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Name of the environment variable that holds the accepted API keys, separated by commas. Without it no key is asked for.',
      ),
  })
  .prefault({})
  .describe('The embedded OpenAI-compatible HTTP gateway.');

const tls = z
  .strictObject({
    mode: z
      .enum(['self-signed', 'files', 'off'])
      .default('self-signed')
      .describe('`self-signed` makes a certificate at start; Envoy does not verify it unless told to.'),
    cert: z.string().min(1).optional().describe('PEM file with the certificate, for mode `files`.'),
    key: z.string().min(1).optional().describe('PEM file with the private key, for mode `files`.'),
  })
  .superRefine((value, context) => {
    for (const name of ['cert', 'key'] as const)
      if (value.mode === 'files' && value[name] === undefined)
        context.addIssue({ code: 'custom', path: [name], message: `tls mode \`files\` needs \`${name}\`` });
  })
  .prefault({})
  .describe('Transport security of the ext-proc server.');

const extProc = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Serve the Endpoint Picker Protocol.'),
    host: host('127.0.0.1'),
    port: port(9002, 'Port of the ext-proc gRPC server.'),
    tls,
    fallbacks: z
      .int()
      .min(0)
      .max(16)
      .default(0)
      .describe('How many further endpoints to name after the chosen one, for a proxy that can retry.'),
    explain: z
      .boolean()
      .default(false)
      .describe('Answer `x-pointsman-explain: true` with the decision; it names endpoints.'),
    transport: z
      .enum(['fast', 'grpc-js'])
      .default('fast')
      .describe('Our own HTTP/2, or the reference library grpc-js; both serve the same streams.'),
    workers: z
      .union([z.int().min(0).max(64), z.literal('auto')])
      .default(0)
      .describe(
        'Processes that serve the streams, so that more than one core works; this one decides. 0: all in this process; auto: one less than there are cores, 4 at most, and none on two cores.',
      ),
  })
  .prefault({})
  .describe('The Endpoint Picker for Envoy (ext_proc over gRPC).');

const health = z
  .strictObject({ host: host('127.0.0.1'), port: port(9003, 'Port of the gRPC health service.') })
  .prefault({})
  .describe('gRPC health, for probes.');

const shutdown = z
  .strictObject({
    drainDelayMs: z
      .number()
      .nonnegative()
      .default(5000)
      .describe('After SIGTERM: not ready any more, but still serving, until everyone has heard of it.'),
    deadlineMs: milliseconds(
      30_000,
      'After that: no new connections; requests in progress may take this long.',
    ),
  })
  .prefault({})
  .describe('How the process ends. The orchestrator must allow for the sum of both times.');

const metrics = z
  .strictObject({
    host: host('127.0.0.1'),
    port: port(9090, 'Port of /metrics, /health and /ready.'),
    legacyNames: z
      .boolean()
      .default(false)
      .describe('Also under the names before llm_d_epp_: inference_objective_, _pool_ and _extension_.'),
  })
  .prefault({})
  .describe('Prometheus metrics of this process.');

const endpoint = z.strictObject({
  name: z.string().min(1).optional().describe('Unique in the pool; the address by default.'),
  address: z
    .string()
    .regex(/^(\[[0-9a-fA-F:]+\]|[^\s:/]+):[0-9]{1,5}$/, {
      error: 'expected `host:port` or `[ipv6]:port`',
    })
    .describe('`host:port` or `[ipv6]:port` of an engine.'),
  labels: z.record(z.string(), z.string()).default({}).describe('Free labels, for filters and scorers.'),
});

const metric = (what: string) =>
  z
    .string()
    .regex(/^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})?$/, { error: 'expected `name` or `name{label=value}`' })
    .optional()
    .describe(what);

const engineMetrics = z.strictObject({
  name: z.string().min(1).describe('A built-in engine of this name is replaced.'),
  queuedRequests: metric('Requests in the queue.'),
  runningRequests: metric('Requests in the batch.'),
  kvCacheUsage: metric('Used share of the KV blocks, 0 to 1.'),
  adapters: metric('LoRA adapters, in labels as vllm:lora_requests_info has them.'),
  cacheConfig: metric('Carries block size and number of blocks as labels.'),
  blockSizeLabel: z.string().default('block_size').describe('Label of cacheConfig.'),
  totalBlocksLabel: z.string().default('num_gpu_blocks').describe('Label of cacheConfig.'),
  blockSize: metric('Tokens per KV block, as a value.'),
  totalBlocks: metric('KV blocks, as a value.'),
});

const pool = z
  .strictObject({
    endpoints: z.array(endpoint).default([]).describe('The engines, when they are known beforehand.'),
    file: z
      .string()
      .min(1)
      .optional()
      .describe('A YAML or JSON file with `endpoints:` as above; watched, so it can change while running.'),
    scrape: z
      .strictObject({
        intervalMs: milliseconds(200, "How often each engine's /metrics is read."),
        timeoutMs: milliseconds(1000, 'After it one reading counts as failed.'),
      })
      .prefault({})
      .describe('Reading of the engines, milliseconds.'),
    engineMetrics: z
      .array(engineMetrics)
      .default([])
      .describe('Metric names of engines beside vllm, sglang, trtllm-serve, triton-tensorrt-llm and triton.'),
  })
  .prefault({})
  .describe('The engines to choose from.');

const parameters = z
  .record(z.string(), z.unknown())
  .default({})
  .describe('Parameters of the plugin; `pointsman check` names the known ones.');
const pluginName = z
  .string()
  .min(1)
  .describe('A built-in name, a path to a .ts or .js file (relative to this file), or an npm package.');

const profile = z
  .strictObject({
    strategy: z
      .enum(strategyNames)
      .optional()
      .describe(
        'A ready profile, `default` without one; what is given beside it replaces its filters, scorers or picker.',
      ),
    filters: z
      .array(z.strictObject({ name: pluginName, parameters }))
      .default(usualFilters.map((each) => ({ ...each })))
      .describe('Applied in order; each keeps some endpoints.'),
    scorers: z
      .array(
        z.strictObject({
          name: pluginName,
          weight: z.number().positive().default(1).describe("Factor on this scorer's preference."),
          parameters,
        }),
      )
      .default(strategies.default.scorers.map((each) => ({ ...each })))
      .describe('Preferences; the endpoint with the largest weighted sum is chosen.'),
    picker: z
      .strictObject({ name: pluginName, parameters })
      .default({ name: 'max-score', parameters: {} })
      .describe('How the choice is made from the sums.'),
  })
  .prefault({})
  .describe('How an endpoint is chosen.');

const flowControl = z
  .strictObject({
    enabled: z
      .boolean()
      .optional()
      .describe(
        'Hold requests while the engine that is best for them has no room. By default true with the strategies default, latency-optimized and throughput-optimized, false with others and with scorers or a picker of your own.',
      ),
    maxQueuedRequests: count(5000, 'Waiting requests; a full line displaces the lowest priority first.'),
    maxQueuedBytes: count(1024 ** 3, 'Memory that waiting requests may hold, about 4 bytes a token.'),
    ttlMs: milliseconds(60_000, 'Longest wait.'),
    ttlMsByPriority: z
      .record(z.string().regex(/^-?[0-9]+$/), z.number().positive())
      .default({})
      .describe('Longest wait of single priorities, such as `-10: 5000`.'),
    roomMs: milliseconds(300, 'An engine has room while a request sent now would begin within this.'),
    memoryTarget: z
      .number()
      .positive()
      .max(1)
      .default(0.98)
      .describe(
        "Share of an engine's KV memory that may be in use or promised; the rest is for answers to grow.",
      ),
    tenantHeader: z
      .string()
      .regex(/^[a-z0-9-]+$/, { error: 'expected a header name in lower case' })
      .optional()
      .describe('Names the tenant of requests without x-llm-d-inference-fairness-id.'),
    ageWeight: z
      .number()
      .nonnegative()
      .default(0.1)
      .describe('What waiting is worth against being short: 0 = shortest first, 1 = about first come.'),
  })
  .prefault({})
  .describe('Requests that wait: priorities, fairness between tenants, limits.');

const target = (what: string) => z.number().positive().optional().describe(what);

const objective = z.union([
  z.int().describe('Its priority.'),
  z
    .strictObject({
      priority: z.int().default(0).describe('Higher is sooner; negative may be shed.'),
      ttftMs: target('Target for the first token, milliseconds.'),
      tpotMs: target('Target for each further token, milliseconds.'),
      strict: z
        .boolean()
        .default(false)
        .describe(
          'Takes the engine that meets the targets most narrowly, which keeps the fast ones free for those in need.',
        ),
    })
    .describe('Priority and targets; targets in the headers of a request come before these.'),
]);

const decisions = z
  .strictObject({
    kept: z
      .int()
      .min(0)
      .max(100_000)
      .default(256)
      .describe('Decision records kept in memory, the last ones.'),
    served: z
      .boolean()
      .default(false)
      .describe('Serve them at /decisions on the metrics port; they name endpoints, tenants and sessions.'),
    file: z.string().min(1).optional().describe('Append each decision to this file, as JSON Lines.'),
    headers: z
      .array(z.string().regex(/^[a-z0-9-]+$/, { error: 'expected a header name in lower case' }))
      .default([])
      .describe(
        'Further request headers to record: those that plugins of your own read. Never keys or cookies.',
      ),
  })
  .prefault({})
  .describe('Records of what was chosen and why; `pointsman replay` makes the choices again.');

const prefixIndex = z
  .strictObject({
    blockTokens: count(64, 'Prompt tokens per remembered block.'),
    maxPromptTokens: count(131_072, 'Longer prompts are remembered up to here.'),
    blocksPerEndpoint: count(31_250, 'Remembered blocks per engine; the oldest are forgotten.'),
  })
  .prefault({})
  .describe('What is believed to lie in the KV caches of the engines.');

const modelRewrites = z
  .array(
    z.strictObject({
      match: z
        .string()
        .min(1)
        .optional()
        .describe('The model that clients ask for; without it the rule is for all others, and for none.'),
      targets: z
        .array(
          z.strictObject({
            model: z.string().min(1).describe('What the engines call it.'),
            weight: z
              .number()
              .nonnegative()
              .optional()
              .describe(
                'Share of the requests; a target without one is not chosen beside others that have one.',
              ),
          }),
        )
        .min(1)
        .describe('One is drawn by weight for each request.'),
    }),
  )
  .default([])
  .describe('Other models to use than those that clients name: aliases, canaries, a default.');

const log = z
  .strictObject({
    level: z.enum(logLevels).default('info'),
    format: z.enum(logFormats).default('auto').describe('`auto` is pretty on a terminal and JSON elsewhere.'),
  })
  .prefault({})
  .describe('Log lines on standard error.');

const up = z
  .strictObject({
    pods: z.int().min(1).max(64).default(2).describe('Engines to start.'),
    model: z.string().min(1).optional().describe('Model folder; the bundled small model by default.'),
    enginePortBase: z
      .int()
      .min(0)
      .max(65535)
      .default(8100)
      .describe('Port of the first engine; the next take the following ones. 0 = any free ones.'),
    engineArgs: z
      .array(z.string())
      .default([])
      .describe('Further arguments of each engine; see `pointsman engine --help`.'),
  })
  .prefault({})
  .describe('What `pointsman up` starts beside the gateway.');

export const configurationSchema = z
  .strictObject({
    gateway,
    extProc,
    health,
    metrics,
    shutdown,
    pool,
    profile,
    flowControl,
    decisions,
    prefixIndex,
    objectives: z
      .record(z.string(), objective)
      .default({})
      .describe('Each inference objective: its priority, or its priority and targets.'),
    modelRewrites,
    log,
    up,
  })
  .describe('Configuration of Pointsman.');

export const profileSchema = profile;

/** What every entry of a profile has, whatever else it says. */
export const pluginReferenceSchema = z.object({ name: pluginName, parameters });

type Parsed = z.output<typeof configurationSchema>;

/** Validated, complete, frozen. */
export type Configuration = DeepReadonly<
  Omit<Parsed, 'flowControl'> & {
    flowControl: Omit<Parsed['flowControl'], 'enabled'> & { enabled: boolean };
  }
>;

type DeepReadonly<T> = T extends (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;
