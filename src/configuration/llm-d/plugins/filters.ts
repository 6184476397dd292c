import { z } from 'zod';
import { noParameters, type PluginType, pluginType, withoutEffect } from '../plugin-type.ts';
import { sessionAffinityParameters, sessionPin } from './session-affinity.ts';

const name = z.string().optional();
const filter = ['filter'] as const;
const roleLabel = 'llm-d.ai/role';

const selector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).default({}),
  matchExpressions: z
    .array(
      z.strictObject({
        key: z.string().min(1),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).default([]),
      }),
    )
    .default([]),
});

const bySelector = pluginType({
  roles: filter,
  parameters: selector,
  map: ({ matchLabels, matchExpressions }) => {
    const requirements = [
      ...Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`),
      ...matchExpressions.map(expression),
    ];
    if (requirements.length === 0)
      return { kind: 'built in', note: 'an empty selector keeps every endpoint' };
    return { kind: 'plugin', role: 'filter', name: 'label', parameters: { matchLabels: requirements } };
  },
});

function expression({
  key,
  operator,
  values,
}: z.output<typeof selector>['matchExpressions'][number]): string {
  switch (operator) {
    case 'In':
      return `${key} in (${values.join(', ')})`;
    case 'NotIn':
      return `${key} notin (${values.join(', ')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
  }
}

function byRole(values: readonly string[], allowsMissing: boolean): PluginType {
  const parameters = { label: roleLabel, values, allowsMissing };
  return pluginType({
    roles: filter,
    parameters: noParameters,
    map: () => ({ kind: 'plugin', role: 'filter', name: 'label-values', parameters }),
  });
}

const affinity = z.strictObject({
  affinityThreshold: z.number().max(1).default(0.8),
  explorationProbability: z.number().min(0).max(1).default(0),
  maxTTFTPenaltyMs: z.number().min(0).default(18_000),
  ttftSource: z.enum(['prefillThroughput', 'latencyPredictor']).default('prefillThroughput'),
  peakPrefillThroughput: z.number().min(0).optional(),
  prefillCalibrationFile: name,
  prefillCalibrationFingerprint: name,
  prefillCalibrationRequired: z.boolean().default(false),
  prefixMatchInfoProducerName: name,
  latencyPredictionInfoProducerName: name,
  inFlightLoadProducerName: name,
});

const metrics = ['active-requests', 'running-requests', 'waiting-queue', 'kv-cache-utilization'] as const;

const utilization = z.strictObject({
  conditions: z.array(z.strictObject({ metric: z.enum(metrics), maxValue: z.number().min(0) })).min(1),
  fallbackOnEmpty: z.boolean().default(false),
  inFlightLoadProducerName: name,
});

export const filters: Readonly<Record<string, PluginType>> = {
  'label-selector-filter': bySelector,
  'by-label-selector': bySelector,
  'by-label': pluginType({
    roles: filter,
    parameters: z.strictObject({
      label: z.string().min(1),
      validValues: z.array(z.string()).default([]),
      allowsNoLabel: z.boolean().default(false),
    }),
    map: ({ label, validValues, allowsNoLabel }) => ({
      kind: 'plugin',
      role: 'filter',
      name: 'label-values',
      parameters: { label, values: validValues, allowsMissing: allowsNoLabel },
    }),
  }),
  'decode-filter': byRole(['decode', 'prefill-decode', 'both', 'encode-prefill-decode'], true),
  'prefill-filter': byRole(
    ['prefill', 'encode-prefill', 'prefill-decode', 'both', 'encode-prefill-decode'],
    false,
  ),
  'encode-filter': byRole(['encode', 'encode-prefill', 'encode-prefill-decode'], false),
  'prefix-cache-affinity-filter': pluginType({
    roles: filter,
    parameters: affinity,
    map: (given, context) => {
      if (given.ttftSource === 'latencyPredictor')
        return {
          kind: 'refused',
          note: 'there is no latency predictor; set `ttftSource: prefillThroughput` and peakPrefillThroughput',
        };
      const problem = context.prefixProblem(given.prefixMatchInfoProducerName);
      if (problem !== undefined) return { kind: 'refused', note: problem };
      const { peakPrefillThroughput = 15_928 } = given;
      if (given.prefillCalibrationFile !== undefined && given.peakPrefillThroughput === undefined)
        return {
          kind: 'refused',
          note: 'records of calibrations are not read; set peakPrefillThroughput to the tokens per second that the record tells',
        };
      const outputRatio = context.outputRatioOf(given.inFlightLoadProducerName);
      return {
        kind: 'plugin',
        role: 'filter',
        name: 'prefix-affinity',
        parameters: {
          threshold: given.affinityThreshold,
          explorationProbability: given.explorationProbability,
          maxTtftPenaltyMs: given.maxTTFTPenaltyMs,
          peakPrefillTokensPerSecond: peakPrefillThroughput,
          ...(outputRatio > 0 ? { outputRatio } : {}),
        },
      };
    },
  }),
  'utilization-filter': pluginType({
    roles: filter,
    parameters: utilization,
    map: ({ conditions, fallbackOnEmpty }) => ({
      kind: 'plugin',
      role: 'filter',
      name: 'utilization',
      parameters: {
        limits: conditions.map(({ metric, maxValue }) => `${metric}<=${maxValue}`),
        fallsBackToAll: fallbackOnEmpty,
      },
    }),
  }),
  'active-request-filter': pluginType({
    roles: filter,
    parameters: z.strictObject({
      maxRequests: z.int().positive(),
      fallbackOnEmpty: z.boolean().default(false),
      inFlightLoadProducerName: name,
    }),
    map: ({ maxRequests, fallbackOnEmpty }) => ({
      kind: 'plugin',
      role: 'filter',
      name: 'utilization',
      parameters: { limits: [`active-requests<=${maxRequests}`], fallsBackToAll: fallbackOnEmpty },
    }),
  }),
  'session-affinity-filter': pluginType({
    roles: filter,
    parameters: sessionAffinityParameters,
    map: (parameters) => sessionPin('filter', parameters),
  }),
  'slo-headroom-tier-filter': withoutEffect(
    'refused',
    filter,
    'there is no latency predictor to tell the headroom; use utilization-filter',
  ),
  'endpoint-attribute-filter': withoutEffect(
    'refused',
    filter,
    'endpoints have no free attributes; use utilization-filter or label-selector-filter',
  ),
  'topology-affinity-filter': withoutEffect(
    'refused',
    filter,
    'topology is not read; use label-selector-filter',
  ),
  'multicluster-session-affinity-filter': withoutEffect('refused', filter, 'there is no hub over clusters'),
  'header-based-testing-filter': withoutEffect(
    'refused',
    filter,
    'it is for tests of data planes; remove it',
  ),
};
