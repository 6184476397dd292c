import { expect } from 'vitest';
import { firstToReportServed } from '../../bench/envoy/bootstrap.ts';
import { type InstalledEnvoy, minorOf } from '../../bench/envoy/installed-envoys.ts';
import {
  chat,
  post,
  startTopology,
  type Topology,
  type TopologyOptions,
} from '../ext-proc/envoy-topology.ts';
import { describeWithEnvoy, type EnvoyTest } from '../support/with-envoy.ts';

type Reason = (envoy: InstalledEnvoy) => string | undefined;

/** Each test in a topology of its own. */
function inTopology(test: EnvoyTest) {
  return (
    name: string,
    options: Omit<TopologyOptions, 'envoy'>,
    run: (topology: Topology) => Promise<void>,
    reason?: Reason,
  ) =>
    test(
      name,
      async (envoy) => {
        const topology = await startTopology({ envoy, ...options });
        try {
          await run(topology);
        } finally {
          await topology.close();
        }
      },
      reason,
    );
}

const reportsServed: Reason = (envoy) =>
  minorOf(envoy) < firstToReportServed
    ? `Envoy ${envoy.version} has no selected_host_key, so it cannot tell who served`
    : undefined;

const kinds = ({ picker }: Topology) => picker.picks.map(({ outcomes }) => outcomes.map(({ kind }) => kind));

describeWithEnvoy('when something is missing', (each) => {
  const test = inTopology(each);
  test('without an endpoint picker nothing is let through', {}, async (topology) => {
    await topology.extProc.close(0);
    const { status } = await post(topology, chat('x'), {
      'x-gateway-destination-endpoint': topology.engines[0]!.address,
    });
    expect([500, 503]).toContain(status);
    expect(topology.engines.map((engine) => engine.served())).toEqual([0, 0]);
  });

  test('an engine that is gone counts as a failed connection, not as its refusal', {}, async (topology) => {
    await Promise.all(topology.engines.map((engine) => engine.close()));
    const { status } = await post(topology, chat('x'));
    expect(status).toBe(503);
    await expect.poll(() => kinds(topology)).toEqual([['connect_failed']]);
  });

  test('a body over the cap is a 413 in JSON', { maxBodyBytes: 200_000 }, async (topology) => {
    const { status, text } = await post(topology, chat('x'.repeat(1_000_000)));
    expect(status).toBe(413);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'request_too_large' } });
    expect(topology.picker.picks).toEqual([]);
  });

  test('an internal error is a 500 in JSON, not a hang', {}, async (topology) => {
    topology.picker.failWith(new TypeError('broken'));
    const { status, text } = await post(topology, chat('x'));
    expect(status).toBe(500);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'internal' } });
  });

  test('a client that leaves while it waits for a pick ends the wait', {}, async (topology) => {
    topology.picker.hold();
    const aborter = new AbortController();
    const answer = fetch(`${topology.envoy.url}/v1/chat/completions`, {
      method: 'POST',
      body: chat('x'),
      signal: aborter.signal,
    });
    const ended = expect(answer).rejects.toThrow(/abort/);
    await expect.poll(() => topology.picker.waiting()).toBe(1);
    aborter.abort();
    await ended;
    await expect.poll(() => topology.picker.waiting()).toBe(0);
    expect(topology.picker.picks).toEqual([]);
  });

  test('closing the endpoint picker waits for what runs', {}, async (topology) => {
    const answer = await fetch(`${topology.envoy.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'x-echo': 'stream' },
      body: chat('x'),
    });
    const closed = topology.extProc.close(10_000);
    for (const engine of topology.engines) engine.finishStreams();
    expect(await answer.text()).toMatch(/\[DONE\]\n\n$/);
    await closed;
    expect(kinds(topology)).toEqual([['completed']]);
  });
});

describeWithEnvoy('override_host', (each) => {
  const test = inTopology(each);
  const config = 'override-host';

  test('metadata chooses the engine', { config }, async (topology) => {
    const served: string[] = [];
    for (let round = 0; round < 4; round++) served.push((await post(topology, chat('x'))).echo.engine);
    const [first, second] = topology.engines.map(({ address }) => address);
    expect(served).toEqual([first, second, first, second]);
    await expect.poll(() => kinds(topology)).toEqual(Array(4).fill(['completed']));
  });

  test('a subset hint narrows the choice', { config }, async (topology) => {
    const [, second] = topology.engines.map(({ address }) => address);
    for (let round = 0; round < 3; round++) {
      expect((await post(topology, chat('x'), { 'x-test-subset': second! })).echo.engine).toBe(second);
    }
  });

  test('the list is walked when the first engine is gone', { config, fallbacks: 1 }, async (topology) => {
    const [first, second] = topology.engines;
    await first!.close();
    const { status, echo } = await post(topology, chat('x'));
    expect(status).toBe(200);
    expect(echo.engine).toBe(second!.address);
    await expect.poll(() => kinds(topology)).toEqual([['completed']]);
  });

  test(
    'the load follows to who served',
    { config, fallbacks: 1 },
    async (topology) => {
      const [first, second] = topology.engines;
      await first!.close();
      await post(topology, chat('x'));
      expect(topology.picker.picks[0]?.served).toEqual([[second!.address, first!.address]]);
    },
    reportsServed,
  );
});
