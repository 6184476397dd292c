import { afterEach, expect } from 'vitest';
import { type GatewayOptions, serveGateway } from '../../src/gateway/index.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { type FakeEndpointPicker, fakeEndpointPicker } from './fake-endpoint-picker.ts';
import { type FakeEngine, type FakeEngineOptions, startFakeEngine } from './fake-engine.ts';
import { until } from './until.ts';

export interface GatewayFixture {
  readonly gateway: RunningServer;
  readonly url: string;
  readonly picker: FakeEndpointPicker;
  readonly engines: readonly FakeEngine[];
  /** The first one. */
  readonly engine: FakeEngine;
}

export type FixtureOptions = Partial<GatewayOptions> & {
  readonly engines?: readonly FakeEngineOptions[];
};

const open: GatewayFixture[] = [];

/** A gateway in front of fake engines, closed after the test; then no assignment may be left open. */
export async function startGateway(options: FixtureOptions = {}): Promise<GatewayFixture> {
  const engines = await Promise.all((options.engines ?? [{}]).map((each) => startFakeEngine(each)));
  const picker = fakeEndpointPicker(
    engines.map(({ address }, index) => ({ name: `pod-${index}`, address })),
    engines.flatMap(({ models }) => models),
  );
  const gateway = await serveGateway({
    host: '127.0.0.1',
    port: 0,
    picker,
    log: silentLog,
    ...options,
    limits: { blockTokens: 16, maxPrefixTokens: 4096, ...options.limits },
  });
  const fixture = { gateway, url: `http://${gateway.address}`, picker, engines, engine: engines[0]! };
  open.push(fixture);
  return fixture;
}

afterEach(async () => {
  for (const { gateway, picker, engines } of open.splice(0)) {
    await until(() => picker.open === 0);
    expect(picker.open).toBe(0);
    await gateway.close(1000);
    await Promise.all(engines.map((engine) => engine.close()));
  }
});

export const chatBody = JSON.stringify({ model: 'fake-model', messages: [{ role: 'user', content: 'hi' }] });
export const streamBody = JSON.stringify({ ...JSON.parse(chatBody), stream: true });

export function post(url: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
}
