import { z } from 'zod';
import { count, host, milliseconds, port } from './fields.ts';

export const gateway = z
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
        context.addIssue({
          code: 'custom',
          path: [name],
          message: `tls mode \`files\` needs \`${name}\`, or --tls-${name}`,
        });
  })
  .prefault({})
  .describe('Transport security of the ext-proc server.');

export const extProc = z
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
    scores: z
      .boolean()
      .default(false)
      .describe('Tell the address and score of each candidate in the metadata of the pick.'),
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

export const health = z
  .strictObject({ host: host('127.0.0.1'), port: port(9003, 'Port of the gRPC health service.') })
  .prefault({})
  .describe('gRPC health, for probes.');

const usualFull = { waitingRequests: 5, kvCacheUsage: 0.8 };

const fullEndpoint = z
  .strictObject({
    waitingRequests: z.number().positive().optional().describe("In the engine's queue."),
    kvCacheUsage: z.number().positive().max(1).optional().describe('0 to 1, as the engine tells it.'),
    inFlightRequests: z.number().positive().optional().describe('Sent and not yet finished.'),
  })
  .refine((full) => Object.keys(full).length > 0, 'say at least one figure')
  .default(usualFull)
  .describe(
    'At which figures the metric flow_control_pool_saturation counts an endpoint as full; of several the one nearest to its limit. Nothing else reads it.',
  );

export const metrics = z
  .strictObject({
    host: host('127.0.0.1'),
    port: port(9090, 'Port of /metrics, /health and /ready.'),
    legacyNames: z
      .boolean()
      .default(false)
      .describe('Also under the names before llm_d_epp_: inference_objective_, _pool_ and _extension_.'),
    fullEndpoint,
  })
  .prefault({})
  .describe('Prometheus metrics of this process.');

export const shutdown = z
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
