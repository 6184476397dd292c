import { z } from 'zod';
import { noParameters, type PluginType, pluginType, withoutEffect } from '../plugin-type.ts';
import { sessionAffinityParameters, sessionPin } from './session-affinity.ts';

const name = z.string().optional();
const scorer = ['scorer'] as const;

const lru = z.strictObject({
  lruSize: z.int().default(1024),
  prefixPluginType: name,
  prefixPluginName: name,
  prefixMatchInfoProducerName: name,
});

const active = z.strictObject({
  requestTimeout: name,
  idleThreshold: z.int().default(0),
  maxBusyScore: z.number().min(0).max(1).default(1),
  inFlightLoadProducerName: name,
});

/** Parameters of the index, which this scorer owned before llm-d-router 0.9. */
const movedParameters = {
  autoTune: z.unknown().optional(),
  blockSize: z.unknown().optional(),
  blockSizeTokens: z.unknown().optional(),
  hashBlockSize: z.unknown().optional(),
  lruCapacityPerServer: z.unknown().optional(),
  maxPrefixBlocksToMatch: z.unknown().optional(),
  maxPrefixTokensToMatch: z.unknown().optional(),
};

/** Of the time when this scorer could follow KV events, too (`mode: cache_tracking`). */
const eventParameters = { mode: z.unknown().optional(), indexerConfig: z.unknown().optional() };

const prefix = z.strictObject({
  prefixMatchInfoProducerName: name,
  matchLengthWeight: z.number().min(0).max(1).default(0),
  matchLengthScaleTokens: z.int().positive().default(8192),
  ...movedParameters,
  ...eventParameters,
});

export const scorers: Readonly<Record<string, PluginType>> = {
  'queue-scorer': pluginType({
    roles: scorer,
    parameters: noParameters,
    map: () => ({ kind: 'plugin', role: 'scorer', name: 'queue-min-max', parameters: {} }),
  }),
  'running-requests-size-scorer': pluginType({
    roles: scorer,
    parameters: noParameters,
    map: () => ({ kind: 'plugin', role: 'scorer', name: 'running-min-max', parameters: {} }),
  }),
  'kv-cache-utilization-scorer': pluginType({
    roles: scorer,
    parameters: noParameters,
    map: () => ({
      kind: 'plugin',
      role: 'scorer',
      name: 'kv-cache-usage',
      parameters: {},
      note: 'usage includes prompts sent since the last scrape',
    }),
  }),
  'load-aware-scorer': pluginType({
    roles: scorer,
    parameters: z.strictObject({ threshold: z.int().default(128) }),
    map: ({ threshold }) => ({
      kind: 'plugin',
      role: 'scorer',
      name: 'load-aware',
      parameters: { threshold: threshold > 0 ? threshold : 128 },
      note: 'the queue includes requests sent since the last scrape',
    }),
  }),
  'lora-affinity-scorer': pluginType({
    roles: scorer,
    parameters: noParameters,
    map: () => ({
      kind: 'plugin',
      role: 'scorer',
      name: 'lora-affinity',
      parameters: {},
      note: 'a base model scores 1 everywhere: it needs no adapter slot',
    }),
  }),
  'prefix-cache-scorer': pluginType({
    roles: scorer,
    parameters: prefix,
    map: (given, context) => {
      const { matchLengthWeight, matchLengthScaleTokens, prefixMatchInfoProducerName } = given;
      const old = oldParameters(given);
      if (old.length > 0) return { kind: 'refused', note: old.join('; ') };
      const problem = context.prefixProblem(prefixMatchInfoProducerName);
      if (problem !== undefined) return { kind: 'refused', note: problem };
      const parameters =
        matchLengthWeight === 0
          ? {}
          : { lengthWeight: matchLengthWeight, lengthScaleTokens: matchLengthScaleTokens };
      return { kind: 'plugin', role: 'scorer', name: 'prefix-match', parameters };
    },
  }),
  'token-load-scorer': pluginType({
    roles: scorer,
    parameters: z.strictObject({
      queueThresholdTokens: z.int().default(4_194_304),
      inFlightLoadProducerName: name,
    }),
    map: ({ queueThresholdTokens, inFlightLoadProducerName }, context) => {
      const outputRatio = context.outputRatioOf(inFlightLoadProducerName);
      const thresholdTokens = queueThresholdTokens > 0 ? queueThresholdTokens : 4_194_304;
      return {
        kind: 'plugin',
        role: 'scorer',
        name: 'token-load',
        parameters: { thresholdTokens, ...(outputRatio > 0 ? { outputRatio } : {}) },
        note: 'prompt tokens count until the first token comes',
      };
    },
  }),
  'active-request-scorer': pluginType({
    roles: scorer,
    parameters: active,
    map: ({ idleThreshold, maxBusyScore }) => ({
      kind: 'plugin',
      role: 'scorer',
      name: 'active-requests',
      parameters: { idleThreshold: Math.max(0, idleThreshold), maxBusyScore },
    }),
  }),
  'no-hit-lru-scorer': pluginType({
    roles: scorer,
    parameters: lru,
    map: ({ lruSize, prefixMatchInfoProducerName }, context) => {
      const problem = context.prefixProblem(prefixMatchInfoProducerName);
      if (problem !== undefined) return { kind: 'refused', note: problem };
      return {
        kind: 'plugin',
        role: 'scorer',
        name: 'no-hit-lru',
        parameters: { lruSize: lruSize > 0 ? lruSize : 1024 },
      };
    },
  }),
  'session-affinity-scorer': pluginType({
    roles: scorer,
    parameters: sessionAffinityParameters,
    map: (parameters) => sessionPin('scorer', parameters),
  }),
  'precise-prefix-cache-scorer': withoutEffect(
    'refused',
    // An extractor too: it is told of endpoints.
    ['scorer', 'data'],
    'KV events of engines are not read; use prefix-cache-scorer, which works from the prompts that were sent',
  ),
  'latency-scorer': withoutEffect(
    'refused',
    scorer,
    'there is no latency predictor; use token-load-scorer or queue-scorer with prefix-cache-scorer, or a configuration of ours, whose default strategy predicts delays itself',
  ),
  'latency-observation-scorer': withoutEffect(
    'refused',
    scorer,
    'observed delays are no score of their own; use token-load-scorer, or a configuration of ours with `profile: {strategy: shadow-price}`',
  ),
  'lmetric-scorer': withoutEffect(
    'refused',
    scorer,
    'use a configuration of ours with `profile: {strategy: lmetric}`',
  ),
  'thunder-agent': withoutEffect(
    'refused',
    ['scorer', 'flow control'],
    'sessions are not admitted as a whole; use session-affinity-scorer with `strategy: session_id`, and round-robin-fairness-policy',
  ),
  'header-label-affinity-scorer': withoutEffect(
    'refused',
    scorer,
    'not there; write it as a scorer file (README, "Write a scorer") and name it in profile.scorers',
  ),
  'endpoint-attribute-scorer': withoutEffect(
    'refused',
    scorer,
    'endpoints have no free attributes; remove it',
  ),
  'topology-affinity-scorer': withoutEffect(
    'refused',
    scorer,
    'topology is not read; write a scorer file over endpoint labels',
  ),
  'mm-embeddings-cache-scorer': withoutEffect(
    'refused',
    scorer,
    'embeddings of images are not tracked; use prefix-cache-scorer',
  ),
  'context-length-aware': withoutEffect(
    'refused',
    ['filter', 'scorer'],
    'not there; write a scorer file over the label llm-d.ai/context-length-range',
  ),
};

/** What to do about parameters that the prefix scorer no longer has. */
function oldParameters(given: Readonly<Record<string, unknown>>): string[] {
  const advice = [
    [
      eventParameters,
      'KV events of engines are not read; remove them, and matches are told from the prompts that were sent',
    ],
    [
      movedParameters,
      'the index is a plugin of its own since llm-d-router 0.9; move them to a plugin of type approx-prefix-cache-producer, hashBlockSize as blockSizeTokens, in tokens',
    ],
  ] as const;
  return advice.flatMap(([parameters, what]) => {
    const found = Object.keys(parameters).filter((key) => key in given);
    return found.length === 0 ? [] : [`${found.join(', ')}: ${what}`];
  });
}
