import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  ConfigurationError,
  formatMapping,
  formatProblem,
  ImportError,
  loadConfiguration,
} from '../../../src/configuration/index.ts';
import { folderWith } from '../folder.ts';
import { chartDefaults, everything, guide } from './documents.ts';

function load(text: string) {
  return loadConfiguration({ text: { yaml: text, flag: 'epp.yaml' } });
}

/** A document of these plugins, with one profile of all of them that a profile can have. */
function withPlugins(plugins: string, rest = ''): string {
  return `apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n${plugins}\n${rest}`;
}

async function problemsOf(text: string): Promise<string[]> {
  const error = await load(text).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigurationError)) throw new Error('expected a ConfigurationError');
  return error.problems.map(formatProblem);
}

async function profileOf(text: string) {
  const { profile } = await load(text);
  return {
    filters: profile.filters.map(({ name, parameters }) => ({ name, ...parameters })),
    scorers: profile.scorers.map(({ name, weight, parameters }) => ({ name, weight, ...parameters })),
    picker: profile.picker.name,
  };
}

describe("llm-d's EndpointPickerConfig", () => {
  it('runs with the published defaults', async () => {
    expect(await profileOf(chartDefaults)).toEqual({
      filters: [{ name: 'ready' }],
      scorers: [
        { name: 'queue-min-max', weight: 2 },
        { name: 'kv-cache-usage', weight: 2 },
        { name: 'prefix-match', weight: 3, lengthWeight: 0, lengthScaleTokens: 8192 },
      ],
      picker: 'max-score',
    });
    const { importation, configuration } = await load(chartDefaults);
    expect(importation?.warnings).toEqual([]);
    expect(configuration.extProc).toMatchObject({ host: '0.0.0.0', port: 9002, fallbacks: 0 });
    expect(formatMapping(importation!.rows)).toContain(
      '  queue-scorer                → scorer 2 x queue-min-max\n',
    );
  });

  it('is read in its older group too', async () => {
    const old = chartDefaults.replace('llm-d.ai/v1alpha1', 'inference.networking.x-k8s.io/v1alpha1');
    expect(await profileOf(old)).toEqual(await profileOf(chartDefaults));
  });

  it('maps the parameters of the newer guides', async () => {
    const { configuration } = await load(guide);
    expect(configuration.prefixIndex).toEqual({
      blockTokens: 128,
      maxPromptTokens: 16384,
      blocksPerEndpoint: 1000,
      followsEngines: false,
    });
    expect(configuration.extProc.fallbacks).toBe(2);
    expect(await profileOf(guide)).toEqual({
      filters: [
        { name: 'ready' },
        {
          name: 'prefix-affinity',
          threshold: 0.9,
          explorationProbability: 0,
          maxTtftPenaltyMs: 5000,
          peakPrefillTokensPerSecond: 15928,
          outputRatio: 1.5,
        },
      ],
      scorers: [{ name: 'token-load', weight: 1, thresholdTokens: 1000, outputRatio: 0 }],
      picker: 'random',
    });
  });

  it('refuses what would route otherwise, and warns of what has no effect, each with its place', async () => {
    const error = await load(everything).catch((reason: unknown) => reason);
    if (!(error instanceof ImportError)) throw new Error('expected an ImportError');
    expect(error.problems.map(formatProblem)).toEqual([
      expect.stringMatching(/^epp\.yaml:53:5 {2}plugins\[11\]: disagg-profile-handler is refused: disagg/),
    ]);
    const warnings = error.importation.warnings.map(formatProblem);
    expect(warnings.map((line) => line.split('  ')[1]!.split(':')[0])).toEqual([
      'plugins[1]',
      'plugins[10]',
      'plugins[13]',
      'plugins[14]',
      'dataLayer.crossReplicaSyncInterval',
      'flowControl.noEndpointRequestTTL',
      'flowControl.saturationDetector',
      'flowControl.usageLimitPolicyPluginRef',
      'flowControl.defaultPriorityBand',
      'flowControl.defaultNegativePriorityBand',
      'flowControl.priorityBands',
    ]);
    const engines = error.importation.rows.find(({ plugin }) => plugin === 'core-metrics-extractor');
    expect(engines?.ours).toContain('"queuedRequests":"my:waiting"');
  });

  it('turns flow control on with the gate, within the limits of its section', async () => {
    const section =
      'featureGates: [flowControl]\nflowControl: {maxRequests: "20k", maxBytes: 8Gi, defaultRequestTTL: 1m30s}\n';
    const { configuration, importation } = await load(`${chartDefaults}${section}`);
    expect(configuration.flowControl).toMatchObject({
      enabled: true,
      maxQueuedRequests: 20_000,
      maxQueuedBytes: 8 * 1024 ** 3,
      ttlMs: 90_000,
    });
    expect(importation?.warnings).toEqual([]);
    expect(importation?.rows.at(-1)).toMatchObject({
      plugin: '(flowControl)',
      ours: expect.stringContaining('flowControl.maxQueuedRequests: 20000'),
    });
    const off = await load(`${chartDefaults}${section.replace('[flowControl]', '[flowControl=false]')}`);
    expect(off.configuration.flowControl.enabled).toBe(false);
    expect(off.importation?.warnings).toHaveLength(3);
  });

  it("runs KServe's default document, and names its disaggregation once each", async () => {
    const kserve = withPlugins(
      [
        'queue-scorer',
        'kv-cache-utilization-scorer',
        'prefix-cache-scorer',
        'no-hit-lru-scorer',
        'max-score-picker',
      ]
        .map((type) => `- type: ${type}`)
        .join('\n'),
    );
    expect((await load(kserve)).profile.scorers).toHaveLength(4);
    const disaggregated = ['disagg-headers-handler', 'disagg-profile-handler', 'decode-filter']
      .map((type) => `- type: ${type}`)
      .join('\n');
    const error = await load(withPlugins(disaggregated)).catch((reason: unknown) => reason);
    if (!(error instanceof ImportError)) throw new Error('expected an ImportError');
    expect(error.problems.map(({ path }) => path)).toEqual(['plugins[0]', 'plugins[1]']);
  });

  it('without profiles has one of every filter, scorer and picker, in the order of the file', async () => {
    const text = withPlugins(
      '- type: decode-filter\n- type: active-request-scorer\n- type: weighted-random-picker\n- type: load-aware-scorer',
    );
    const { filters, scorers, picker } = await profileOf(text);
    expect(filters.map(({ name }) => name)).toEqual(['ready', 'label-values']);
    expect(scorers.map(({ name, weight }) => [name, weight])).toEqual([
      ['active-requests', 1],
      ['load-aware', 1],
    ]);
    expect(picker).toBe('weighted-random');
  });

  it('takes any picker of the file for a profile without one', async () => {
    const rest = 'schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer}]}]';
    expect((await profileOf(withPlugins('- type: queue-scorer\n- type: random-picker', rest))).picker).toBe(
      'random',
    );
  });

  it('leaves out a scorer of weight 0 and what no profile refers to', async () => {
    const rest = 'schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer, weight: 0}]}]';
    const text = withPlugins('- type: queue-scorer\n- type: latency-scorer', rest);
    expect((await profileOf(text)).scorers).toEqual([]);
    const { importation } = await load(text);
    expect(importation?.rows.slice(0, 2).map(({ verdict }) => verdict)).toEqual(['not used', 'not used']);
  });

  it.each([
    ['running-requests-size-scorer', '{}', { name: 'running-min-max' }],
    ['load-aware-scorer', '{threshold: 7}', { name: 'load-aware', threshold: 7 }],
    ['lora-affinity-scorer', '{}', { name: 'lora-affinity' }],
    ['no-hit-lru-scorer', '{lruSize: 9}', { name: 'no-hit-lru', lruSize: 9 }],
    [
      'active-request-scorer',
      '{idleThreshold: 2, maxBusyScore: 0.5}',
      { name: 'active-requests', idleThreshold: 2, maxBusyScore: 0.5 },
    ],
    [
      'prefix-cache-scorer',
      '{matchLengthWeight: 0.5, matchLengthScaleTokens: 100}',
      { name: 'prefix-match', lengthWeight: 0.5, lengthScaleTokens: 100 },
    ],
    [
      'session-affinity-scorer',
      '{strategy: session_id, sessionIdConfig: {sources: [{header: x-chat}], evictionTtlSeconds: 60}}',
      { name: 'session-pin', headers: ['x-chat'], ttlSeconds: 60 },
    ],
  ])('maps %s', async (type, parameters, expected) => {
    const { scorers } = await profileOf(withPlugins(`- {type: ${type}, parameters: ${parameters}}`));
    expect(scorers).toEqual([{ weight: 1, ...expected }]);
  });

  it.each([
    [
      'label-selector-filter',
      '{matchLabels: {a: b}, matchExpressions: [{key: c, operator: NotIn, values: [d, e]}]}',
      { name: 'label', matchLabels: ['a=b', 'c notin (d, e)'] },
    ],
    [
      'by-label',
      '{label: a, validValues: [b], allowsNoLabel: true}',
      { name: 'label-values', label: 'a', values: ['b'], allowsMissing: true },
    ],
    [
      'utilization-filter',
      '{conditions: [{metric: waiting-queue, maxValue: 5}], fallbackOnEmpty: true}',
      { name: 'utilization', limits: ['waiting-queue<=5'], fallsBackToAll: true },
    ],
    [
      'utilization-detector',
      '{queueDepthThreshold: 4, headroom: 0.5}',
      {
        name: 'utilization',
        limits: ['waiting-queue<6', 'kv-cache-utilization<1.2000000000000002'],
        fallsBackToAll: true,
      },
    ],
    [
      'session-affinity-filter',
      '{strategy: session_id}',
      { name: 'session-pin', headers: ['x-session-id'], ttlSeconds: 300 },
    ],
  ])('maps %s', async (type, parameters, expected) => {
    const { filters } = await profileOf(withPlugins(`- {type: ${type}, parameters: ${parameters}}`));
    expect(filters.slice(1)).toEqual([expected]);
  });

  it.each([
    ['an unknown type', '- type: queue-scorrer', '4:9', 'Did you mean "queue-scorer"?'],
    ['a second name', '- type: queue-scorer\n- type: queue-scorer', '5:3', 'a second plugin named'],
    ['a missing type', '- name: x', '4:3', 'missing; expected a string'],
    ['an unknown key', '- {type: queue-scorer, weight: 1}', '4:24', 'unknown key "weight"'],
    [
      'an unknown parameter',
      '- {type: load-aware-scorer, parameters: {treshold: 1}}',
      '4:42',
      'Did you mean "threshold"? Known keys: threshold.',
    ],
    [
      'a parameter of the wrong type',
      '- {type: load-aware-scorer, parameters: {threshold: many}}',
      '4:53',
      'expected a number, found string "many"',
    ],
    [
      'a producer that is not there',
      '- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: prefix}}',
      '4:3',
      'there is no plugin "prefix"',
    ],
    [
      'two handlers',
      '- type: single-profile-handler\n- {name: b, type: single-profile-handler}',
      '5:3',
      'second profile handler',
    ],
    ['a session token', '- type: session-affinity-filter', '4:3', 'set `strategy: session_id`'],
  ])('tells %s with its place', async (_what, plugins, place, message) => {
    const problems = await problemsOf(withPlugins(plugins));
    expect(problems[0]).toContain(`epp.yaml:${place}  `);
    expect(problems[0]).toContain(message);
  });

  it.each([
    ['schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-score}]}]', 'Did you mean "queue-scorer"?'],
    ['schedulingProfiles: [{name: a}, {name: b}]', 'runs exactly one profile'],
    ['featureGates: [flowcontrol]', 'Did you mean "flowControl"?'],
    ['requestHandler: {parsers: [{pluginRef: vllmgrpc-parser}]}', 'gRPC engines are not served'],
    ['requestHandler: {parsers: [{pluginRef: queue-scorer}]}', 'which is no parser plugin'],
    ['flowControl: {priorityBands: [{priority: 1}, {priority: 1}]}', 'a second band of priority 1'],
    ['flowControl: {maxBytes: lots}', 'expected a quantity such as'],
    ['dataLayer: {sources: [{pluginRef: metrics-data-source}]}', 'there is no plugin "metrics-data-source"'],
    ['schedulingProfile: {}', 'unknown key "schedulingProfile". Did you mean "schedulingProfiles"?'],
  ])('tells what is wrong with %s', async (rest, message) => {
    expect((await problemsOf(withPlugins('- type: queue-scorer', rest))).join('\n')).toContain(message);
  });

  it('is loaded from a file, with flags over it', async () => {
    const folder = folderWith({ 'epp.yaml': chartDefaults });
    const overrides = [{ path: ['extProc', 'port'], value: 9999, flag: '--grpc-port' }];
    const { configuration } = await loadConfiguration({ file: join(folder, 'epp.yaml'), overrides });
    expect(configuration.extProc.port).toBe(9999);
  });
});
