import { describe, expect, it } from 'vitest';
import { holdAnswers } from '../support/held-answers.ts';
import { doors, startService } from '../support/service-fixture.ts';
import { until } from '../support/until.ts';

const yaml = `
pool: { scrape: { intervalMs: 20 } }
profile: { strategy: shadow-price }
objectives:
  chat: { ttftMs: 30000, tpotMs: 30000 }
  promised: { ttftMs: 30000, strict: true }
  hopeless: { ttftMs: 0.001, strict: true }
flowControl: { tenantHeader: x-team }
`;

function request(objective: string, prompt = 'short', headers: Readonly<Record<string, string>> = {}) {
  return {
    body: JSON.stringify({
      model: 'fake-model',
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: prompt }],
    }),
    headers: { 'x-llm-d-inference-objective': objective, 'x-team': 'blue', ...headers },
  };
}

describe.each(doors)('targets of requests through %s', (door) => {
  /** Two engines, of which one has 5,000 tokens to compute, some 200 ms, and holds its answer. */
  async function start() {
    const held = [holdAnswers(), holdAnswers()];
    const engines = held.map(({ behaviour }) => ({ behaviour }));
    const fixture = await startService({ door, yaml, engines });
    const long = fixture.send(request('', 'x'.repeat(20_000)));
    await until(() => held.some(({ count }) => count === 1));
    const busy = held[0]!.count;
    for (const each of held) if (each.count === 0) each.open();
    const chosen = (name: string | undefined) => (name === (busy === 1 ? 'e1' : 'e2') ? 'busy' : 'idle');
    return {
      ...fixture,
      /** Where a request goes; then all are answered. */
      placeOf: async (objective: string, headers?: Readonly<Record<string, string>>) => {
        const answer = fixture.send(request(objective, 'short', headers));
        const decided = () => fixture.service.picker.recent()[0]!;
        await until(() => decided().promptTokens < 1000);
        const place = chosen(decided().ranking[0]?.name);
        for (const each of held) each.open();
        await Promise.all([long, answer]);
        return place;
      },
    };
  }

  it.each([
    ['chat', {}, 'idle'],
    ['promised', {}, 'busy'],
    ['hopeless', {}, 'idle'],
    ['hopeless', { 'x-llm-d-slo-ttft-ms': '30000' }, 'busy'],
  ])('take objective %s with headers %j to the %s engine', async (objective, headers, place) => {
    const { placeOf } = await start();
    expect(await placeOf(objective, headers)).toBe(place);
  });

  it('are counted as met or missed, by tenant', async () => {
    const { placeOf, metricsUrl } = await start();
    await placeOf('chat', { 'x-llm-d-slo-ttft-ms': '0.001' });
    const text = await (await fetch(`${metricsUrl}/metrics`)).text();
    const line = (target: string, result: string) =>
      new RegExp(
        `pointsman_slo_requests_total{[^}]*fairness_id="blue"[^}]*target="${target}",result="${result}"} 1\n`,
      );
    expect(text).toMatch(line('ttft', 'missed'));
    expect(text).toMatch(line('tpot', 'met'));
  });
});
