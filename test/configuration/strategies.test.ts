import { describe, expect, it } from 'vitest';
import { loadConfiguration } from '../../src/configuration/index.ts';
import { strategyNames } from '../../src/configuration/strategies.ts';

const load = (yaml: string) => loadConfiguration({ text: { yaml, flag: '--config-text' } });

describe('profile.strategy', () => {
  it.each(strategyNames)('%s loads, with the usual filters and picker', async (strategy) => {
    const { profile } = await load(`profile: { strategy: ${strategy} }`);
    expect(profile.scorers.length).toBeGreaterThan(0);
    expect(profile.filters.map(({ name }) => name)).toEqual(['ready', 'model', 'lora-capacity']);
    expect(profile.picker.name).toBe('max-score');
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
  it('is off unless it is wanted', async () => {
    const { configuration } = await load('');
    expect(configuration.flowControl).toMatchObject({ enabled: false, maxQueuedRequests: 5000, roomMs: 200 });
  });

  it('takes times to live by priority', async () => {
    const { configuration } = await load('flowControl: { enabled: true, ttlMsByPriority: { -10: 500 } }');
    expect(configuration.flowControl.ttlMsByPriority).toEqual({ '-10': 500 });
    await expect(load('flowControl: { ttlMsByPriority: { low: 500 } }')).rejects.toThrow(/ttlMsByPriority/);
  });
});
