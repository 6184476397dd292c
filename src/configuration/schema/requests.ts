import { z } from 'zod';
import { count, milliseconds } from './fields.ts';

export const flowControl = z
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
      .record(
        z.string().regex(/^-?[0-9]+$/, { error: 'expected a priority as the key, such as -10' }),
        z.number().positive(),
      )
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

export const objective = z.union([
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

export const modelRewrites = z
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
