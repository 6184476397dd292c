import { describe, expect, it } from 'vitest';
import {
  ConfigurationError,
  formatProblem,
  type LoadedConfiguration,
  loadConfiguration,
} from '../../../src/configuration/index.ts';

/** What llm-d's guides and charts, and KServe, ship today, each feature in a document as small as it can be. */

function load(yaml: string, featureGates: readonly string[] = []): Promise<LoadedConfiguration> {
  return loadConfiguration({
    text: { yaml: `kind: EndpointPickerConfig\n${yaml}`, flag: 'epp.yaml' },
    featureGates,
  });
}

async function outcomeOf(yaml: string, featureGates?: readonly string[]) {
  const loaded = await load(yaml, featureGates).catch((reason: unknown) => reason);
  if (loaded instanceof ConfigurationError) return { refused: loaded.problems.map(formatProblem).join('\n') };
  if (loaded instanceof Error) throw loaded;
  const { configuration, profile, importation } = loaded as LoadedConfiguration;
  return {
    configuration,
    filters: profile.filters.slice(1).map(({ name, parameters }) => ({ name, ...parameters })),
    scorers: profile.scorers.map(({ name, weight }) => `${weight} x ${name}`),
    picker: profile.picker.name,
    warnings: importation!.warnings.map(formatProblem).join('\n'),
  };
}

const v1 = 'apiVersion: llm-d.ai/v1\n';
const sticky = `${v1}plugins:
- type: approx-prefix-cache-producer
- type: inflight-load-producer
- type: prefix-cache-affinity-filter
- type: token-load-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: prefix-cache-affinity-filter}, {pluginRef: token-load-scorer}]
`;
const one = (plugin: string, rest = '') => `${v1}plugins: [${plugin}]\n${rest}`;

describe("documents of today's llm-d", () => {
  it('run in their version 1: sticky until saturated, as guides and KServe have it', async () => {
    expect(await outcomeOf(sticky)).toMatchObject({
      filters: [{ name: 'prefix-affinity', threshold: 0.8, peakPrefillTokensPerSecond: 15_928 }],
      scorers: ['1 x token-load'],
      picker: 'max-score',
      warnings: '',
    });
  });

  it('may be JSON, which KServe hands over as text', async () => {
    const document = {
      apiVersion: 'llm-d.ai/v1',
      kind: 'EndpointPickerConfig',
      plugins: [{ type: 'active-request-scorer' }, { type: 'max-score-picker' }],
      schedulingProfiles: [{ name: 'default', plugins: [{ pluginRef: 'active-request-scorer', weight: 2 }] }],
    };
    const text = { yaml: JSON.stringify(document), flag: '--config-text' };
    const { profile } = await loadConfiguration({ text });
    expect(profile.scorers.map(({ name, weight }) => [name, weight])).toEqual([['active-requests', 2]]);
  });

  it.each([
    [
      'scrape engines that serve https, as KServe does with TLS on',
      one('{type: metrics-data-source, parameters: {scheme: https, insecureSkipVerify: true}}'),
      { scheme: 'https', verifyTls: false, path: '/metrics' },
    ],
    [
      'check certificates when they say so',
      one('{type: metrics-data-source, parameters: {scheme: https, insecureSkipVerify: false}}'),
      { scheme: 'https', verifyTls: true },
    ],
    [
      'scrape TensorRT-LLM where it tells its figures',
      one(
        '{type: metrics-data-source, parameters: {path: /prometheus/metrics, interval: 1s, families: [a]}}',
      ),
      { scheme: 'http', path: '/prometheus/metrics', intervalMs: 1000 },
    ],
  ])('%s', async (_what, yaml, scrape) => {
    const { configuration, warnings } = await outcomeOf(yaml);
    expect(configuration?.pool.scrape).toMatchObject(scrape);
    expect(warnings).toBe('');
  });

  it('keep the size of the index that they give for a cache with an offload tier', async () => {
    const producer =
      '{type: approx-prefix-cache-producer, parameters: {autoTune: AUTO, lruCapacityPerServer: 9}}';
    const of = async (auto: string) => (await outcomeOf(one(producer.replace('AUTO', auto)))).configuration;
    expect((await of('false'))?.prefixIndex).toMatchObject({ blocksPerEndpoint: 9, followsEngines: false });
    expect((await of('true'))?.prefixIndex).toMatchObject({ blocksPerEndpoint: 9, followsEngines: true });
  });

  const flow = `${v1}plugins: [{type: queue-scorer}, {type: max-saturation-detector, parameters: {detectors: [a]}}]
flowControl:
  defaultRequestTTL: 0s
  saturationDetector: {pluginRef: max-saturation-detector}
  bandSelectionPolicyPluginRef: ''
  priorityBands: [{priority: -1, defaultRequestTTL: 9000s}, {priority: 0}]
`;

  it('limit the wait of single priorities, and lift the limit with 0s', async () => {
    const { configuration, warnings } = await outcomeOf(`${flow}featureGates: [flowControl=True]\n`);
    expect(configuration?.flowControl).toMatchObject({
      enabled: true,
      ttlMs: 2 ** 31 - 1,
      ttlMsByPriority: { '-1': 9_000_000 },
    });
    expect(warnings).not.toContain('priorityBands');
    expect(warnings).toContain('max-saturation-detector is ignored');
  });

  const detectors = `${v1}plugins:
- type: queue-scorer
- {type: utilization-detector, parameters: {queueDepthThreshold: 7}}
- {name: cap, type: concurrency-detector, parameters: {maxConcurrency: 64}}
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}]}]
`;

  it.each([
    ['flowControl: {saturationDetector: {pluginRef: cap}}', { inFlightRequests: 64 }],
    ['saturationDetector: {pluginRef: cap}', { inFlightRequests: 64 }],
    ['saturationDetector: {pluginRef: ""}', { waitingRequests: 7, kvCacheUsage: 0.8 }],
    ['', { waitingRequests: 7, kvCacheUsage: 0.8 }],
  ])('show saturation as their detector counts it: %s', async (section, fullEndpoint) => {
    const { configuration } = await outcomeOf(`${detectors}${section}\n`);
    expect(configuration?.metrics.fullEndpoint).toEqual(fullEndpoint);
    expect(configuration?.profile).toMatchObject({ filters: [{ name: 'ready' }] });
  });

  it('have gates on the command line, over their own', async () => {
    expect((await outcomeOf(flow, ['flowControl'])).configuration?.flowControl.enabled).toBe(true);
    const on = `${flow}featureGates: [flowControl]\n`;
    expect((await outcomeOf(on, ['flowControl=false'])).configuration?.flowControl.enabled).toBe(false);
    expect((await outcomeOf(flow, ['flowcontrol'])).refused).toContain('Did you mean "flowControl"?');
  });

  it('find their endpoints in a file, in the old place of the reference and in the new one', async () => {
    const file = '{name: found, type: file-discovery, parameters: {path: /etc/endpoints.yaml}}';
    for (const discovery of ['{endpoints: {pluginRef: found}}', '{pluginRef: found}']) {
      const { configuration } = await outcomeOf(one(file, `dataLayer: {discovery: ${discovery}}\n`));
      expect(configuration?.pool.file).toBe('/etc/endpoints.yaml');
    }
  });

  it.each([
    [
      'dataLayer: {crossReplica: {syncInterval: 200ms, publishTimeout: 1s}}',
      'dataLayer.crossReplica: is ignored',
    ],
    ['dataLayer: {discovery: {peers: {pluginRef: p}}}', 'dataLayer.discovery.peers: is ignored'],
    ['requestHandler: {propagatePriority: true}', 'requestHandler.propagatePriority: is ignored'],
    ['featureGates: [prepareDataPlugins]', 'prepareDataPlugins is ignored: llm-d has it no more'],
  ])('run with a warning for %s', async (section, warning) => {
    expect((await outcomeOf(one('{type: queue-scorer}', `${section}\n`))).warnings).toContain(warning);
  });

  it('drop busy engines', async () => {
    const { filters } = await outcomeOf(
      one('{type: active-request-filter, parameters: {maxRequests: 10, fallbackOnEmpty: true}}'),
    );
    expect(filters).toEqual([{ name: 'utilization', limits: ['active-requests<=10'], fallsBackToAll: true }]);
  });

  it.each([
    [
      'a second index, for a second tier of the cache',
      one('{name: a, type: approx-prefix-cache-producer}, {name: b, type: approx-prefix-cache-producer}'),
      'remove it and what reads it',
    ],
    [
      'parameters that the scorer had before 0.9',
      one('{type: prefix-cache-scorer, parameters: {hashBlockSize: 5, lruCapacityPerServer: 9}}'),
      'hashBlockSize, lruCapacityPerServer: the index is a plugin of its own',
    ],
    [
      'parameters that the scorer had while it could follow KV events',
      one('{type: prefix-cache-scorer, parameters: {mode: cache_tracking, indexerConfig: {}, blockSize: 5}}'),
      /is refused: mode, indexerConfig: KV events[^;]*; remove them[^;]*; blockSize: the index/,
    ],
    [
      'an exact index, once',
      one(
        '{type: precise-prefix-cache-scorer, parameters: {kvEventsConfig: {topicFilter: kv@}}}, {type: endpoint-notification-source}',
        'dataLayer: {sources: [{pluginRef: endpoint-notification-source, extractors: [{pluginRef: precise-prefix-cache-scorer}]}]}\n',
      ),
      /^epp.yaml:3:11 {2}plugins\[0\]: precise-prefix-cache-scorer is refused: KV events[^\n]*$/,
    ],
    [
      'a tokenizer, in the older form of its parameters too',
      one('{type: token-producer, parameters: {vllm: {http: "http://render:8000"}}}'),
      'leave `vllm` out',
    ],
    [
      'an authority of its own for the certificates of engines',
      one('{type: metrics-data-source, parameters: {scheme: https, caCertPath: /ca.pem}}'),
      'NODE_EXTRA_CA_CERTS',
    ],
    [
      'a record of a calibration',
      one('{type: prefix-cache-affinity-filter, parameters: {prefillCalibrationFile: /record.json}}'),
      'set peakPrefillThroughput to the tokens per second that the record tells',
    ],
    ['admission by session', one('{type: thunder-agent}'), 'use session-affinity-scorer'],
    ['a type of an older name', one('{type: kv-cache-scorer}'), 'It is kv-cache-utilization-scorer now.'],
    ['a type of a newer version', one('{type: tomorrow-scorer}'), 'is none that is known of llm-d'],
  ])('are refused with what to do instead: %s', async (_what, yaml, message) => {
    const { refused } = await outcomeOf(yaml);
    if (typeof message === 'string') expect(refused).toContain(message);
    else expect(refused).toMatch(message);
  });
});
