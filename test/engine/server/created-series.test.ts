import { Counter, Histogram, Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createExposition } from '../../../src/engine/server/exposition.ts';
import type { FakeEngine } from '../support/fake-engine.ts';
import { startFakeEngine } from '../support/fake-engine.ts';

let engine: FakeEngine;
const startSeconds = Date.now() / 1000;
beforeAll(async () => {
  engine = await startFakeEngine();
});
afterAll(async () => {
  await engine.server.close();
});

async function scrape(): Promise<string> {
  return (await engine.get('/metrics')).text();
}

test('every counter and histogram of vLLM tells from when it counts, and goes on telling the same', async () => {
  const text = await scrape();
  const counting = [...text.matchAll(/^# TYPE (vllm:\S+) (counter|histogram)$/gm)];
  expect(counting.length).toBeGreaterThan(25);
  const created = (from: string) => [...from.matchAll(/^(\S+_created(?:\{.*\})?) (\S+)$/gm)];
  for (const [, name = '', type] of counting) {
    const family = type === 'counter' ? name.replace(/_total$/, '') : name;
    // Drafts have no positions without speculation.
    if (family.endsWith('_per_pos')) continue;
    expect(text).toContain(`# TYPE ${family}_created gauge`);
    const series = created(text).filter(([, key]) => key?.startsWith(`${family}_created{`));
    expect(series.length, family).toBeGreaterThan(0);
    for (const [, , seconds] of series) {
      expect(Number(seconds)).toBeGreaterThanOrEqual(startSeconds);
      expect(Number(seconds)).toBeLessThanOrEqual(Date.now() / 1000);
    }
  }
  expect(text).toMatch(
    /^vllm:request_success_created\{model_name="fake",engine="0",finished_reason="stop"\} /m,
  );
  const again = created(await scrape()).map(([line]) => line);
  expect(again).toEqual(expect.arrayContaining(created(text).map(([line]) => line)));
});

test('a series that comes later counts from the scrape before it', async () => {
  const registry = new Registry();
  const registers = [registry];
  const counter = new Counter({ name: 'http_x_total', help: 'x', labelNames: ['path'], registers });
  new Histogram({ name: 'http_y', help: 'y', buckets: [1], registers }).observe(2);
  new Counter({ name: 'process_z_total', help: 'z', registers }).inc();
  const exposition = createExposition(registry);
  await exposition();
  const beforeSeconds = Date.now() / 1000;
  counter.inc({ path: 'a"\n\\' });
  const text = await exposition();
  const [, seconds] = /^http_x_created\{path="a\\"\\n\\\\"\} (\S+)$/m.exec(text) ?? [];
  expect(Number(seconds)).toBeLessThanOrEqual(beforeSeconds);
  expect(text).toMatch(/^http_y_created \d/m);
  expect(text).not.toContain('process_z_created');
});

test('probes and scrapes are not counted as HTTP requests, bodies are by size', async () => {
  await engine.get('/health');
  await engine.post('/v1/completions', { prompt: 'a', max_tokens: 1 });
  const text = await scrape();
  expect(text).not.toMatch(/handler="\/(health|metrics)"/);
  expect(text).toMatch(/^http_request_duration_highr_seconds_bucket\{le="0.025"\}/m);
  const sizeOf = (name: string) =>
    Number(new RegExp(`^${name}_sum\\{handler="/v1/completions"\\} (\\d+)$`, 'm').exec(text)?.[1]);
  expect(sizeOf('http_request_size_bytes')).toBe(JSON.stringify({ prompt: 'a', max_tokens: 1 }).length);
  expect(sizeOf('http_response_size_bytes')).toBeGreaterThan(100);
});
