import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfiguration } from '../../src/configuration/index.ts';
import { strategies, strategyNames } from '../../src/configuration/strategies.ts';
import { enginePresets, findPolicy } from '../../src/simulation/index.ts';

const load = (yaml: string) => loadConfiguration({ text: { yaml, flag: '--config-text' } });

const usualFilters = ['ready', 'model', 'lora-capacity'];

describe('profile.strategy', () => {
  it.each(strategyNames)('%s loads', async (strategy) => {
    const { profile, configuration } = await load(`profile: { strategy: ${strategy} }`);
    expect(profile.filters.map(({ name }) => name).slice(0, 3)).toEqual(usualFilters);
    const decides = profile.scorers.length > 0 || profile.picker.name !== 'max-score';
    expect(decides).toBe(true);
    expect(configuration.flowControl.enabled).toBe(strategies[strategy].hasLateBinding);
  });

  it('is `default` without one', async () => {
    const [usual, named] = await Promise.all([load(''), load('profile: { strategy: default }')]);
    const names = ({ profile }: typeof usual) =>
      [...profile.filters, ...profile.scorers, profile.picker].map(({ name }) => name);
    expect(names(usual)).toEqual(names(named));
    expect(usual.configuration.flowControl).toEqual(named.configuration.flowControl);
  });

  it.each(strategyNames)('%s is a policy of the simulator, too', (strategy) => {
    expect(findPolicy(strategy).name).toBe(strategy);
  });

  it.each(['cache-affinity', 'load-balanced', 'latency-optimized', 'throughput-optimized'] as const)(
    '%s is simulated with the scorers that serve',
    async (strategy) => {
      const { profile, configuration } = await load(`profile: { strategy: ${strategy} }`);
      const environment = { model: enginePresets['llama8b-h100'], pods: 4, random: () => 0.5 };
      const simulated = findPolicy(strategy).create(environment);
      const weights = (scorers: readonly { readonly name: string; readonly weight: number }[]) =>
        scorers.map(({ name, weight }) => [name, weight]);
      expect(weights(simulated.profile.scorers)).toEqual(weights(profile.scorers));
      expect(simulated.flowControl !== undefined).toBe(configuration.flowControl.enabled);
    },
  );

  it('is in the table of the README', () => {
    const readme = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');
    for (const name of strategyNames) expect(readme).toMatch(new RegExp(`^\\| \`${name}\` `, 'm'));
  });

  it('gives way to what is said beside it', async () => {
    const { profile } = await load(`
profile:
  strategy: llm-d-3-2-2
  filters: [{ name: ready }]
  picker: { name: weighted-random }
`);
    expect(profile.scorers.map(({ name, weight }) => [name, weight])).toEqual([
      ['prefix-match', 3],
      ['queue-min-max', 2],
      ['kv-cache-usage', 2],
    ]);
    expect(profile.filters).toHaveLength(1);
    expect(profile.picker.name).toBe('weighted-random');
  });

  it('names the known ones when it is unknown', async () => {
    await expect(load('profile: { strategy: fastest }')).rejects.toThrow(/shadow-price/);
  });
});

describe('flowControl', () => {
  it.each([
    ['', true],
    ['profile: { filters: [{ name: ready }] }', true],
    ['profile: { strategy: latency-optimized }', true],
    ['profile: { strategy: llm-d-3-2-2 }', false],
    ['profile: { scorers: [{ name: prefix-cache }] }', false],
    ['profile: { scorers: [{ name: shadow-price }] }', false],
    ['profile: { picker: { name: weighted-random } }', false],
    ['flowControl: { enabled: false }', false],
    ['profile: { strategy: llm-d-3-2-2 }\nflowControl: { enabled: true }', true],
    ['flowControl: { ttlMs: 1000 }', true],
  ])('with %j is enabled: %s', async (yaml, isEnabled) => {
    const { configuration } = await load(yaml);
    expect(configuration.flowControl.enabled).toBe(isEnabled);
  });

  it('takes times to live by priority', async () => {
    const { configuration } = await load('flowControl: { enabled: true, ttlMsByPriority: { -10: 500 } }');
    expect(configuration.flowControl.ttlMsByPriority).toEqual({ '-10': 500 });
    await expect(load('flowControl: { ttlMsByPriority: { low: 500 } }')).rejects.toThrow(/ttlMsByPriority/);
  });
});
