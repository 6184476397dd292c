import { expect } from 'vitest';
import { disturbances } from '../../bench/envoy/disturbances.ts';
import { runSoak, type SoakPlan } from '../../bench/envoy/soak.ts';
import { describeWithEnvoy } from '../support/with-envoy.ts';

/** The short version of `npm run bench:envoy`: Envoy, `pointsman epp` and engines, each a process of its own. */

const duplex = { config: 'standalone', mode: 'FULL_DUPLEX_STREAMED' } as const;
const calmMs = 1_000;
const clients = 20;

async function soak(plan: Omit<SoakPlan, 'clients' | 'durationMs' | 'random'>) {
  const report = await runSoak({ ...plan, clients, durationMs: 2_000, random: Math.random });
  expect(report).toMatchObject({ mismatches: [], corrupt: [], failures: [], leftInFlight: 0 });
  expect(report.requests).toBeGreaterThanOrEqual(clients);
  return report;
}

describeWithEnvoy('under load', (test) => {
  for (const [config, mode] of [
    ['standalone', 'FULL_DUPLEX_STREAMED'],
    ['standalone', 'BUFFERED'],
    ['override-host', 'FULL_DUPLEX_STREAMED'],
  ] as const) {
    test(`${config}, ${mode}: the picked engine answers, and every byte arrives`, async (envoy) => {
      await soak({ envoy, config, mode });
    });
  }

  test('a picker that is killed and started again: clear errors in the gap, none after it', async (envoy) => {
    const { excused } = await soak({ envoy, ...duplex, disturb: disturbances.pickerKilled(1, calmMs) });
    expect(excused.get(500) ?? 0).toBeGreaterThan(0);
  });

  test('pickers that are replaced one after the other: no stream is cut or refused', async (envoy) => {
    await soak({ envoy, ...duplex, pickers: 2, disturb: disturbances.pickersReplaced(1, calmMs) });
  });

  test('an engine that is killed: errors only until the picker has noticed', async (envoy) => {
    await soak({
      envoy,
      config: 'override-host',
      mode: 'FULL_DUPLEX_STREAMED',
      disturb: disturbances.engineKilled(1, calmMs),
    });
  });
});
