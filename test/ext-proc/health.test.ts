import { afterEach, beforeEach, expect, it } from 'vitest';
import { serveHealth } from '../../src/ext-proc/index.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { ExtProcClient } from '../support/ext-proc-client.ts';

const state = { isReady: false, isAlive: true };
let server: RunningServer;
let client: ExtProcClient;

beforeEach(async () => {
  state.isReady = false;
  server = await serveHealth({
    host: '127.0.0.1',
    port: 0,
    isReady: () => state.isReady,
    isAlive: () => state.isAlive,
  });
  client = new ExtProcClient({ address: server.address });
});

afterEach(async () => {
  client.close();
  await server.close(0);
});

it('liveness and readiness are told apart', async () => {
  expect(await client.health('liveness')).toBe('SERVING');
  expect(await client.health('readiness')).toBe('NOT_SERVING');
  state.isReady = true;
  expect(await client.health('readiness')).toBe('SERVING');
});

it('an unknown name is not found', async () => {
  expect(await client.health('elsewhere')).toBe('NOT_FOUND');
});

it('lists every name', async () => {
  expect(await client.listHealth()).toEqual({
    '': { status: 'NOT_SERVING' },
    readiness: { status: 'NOT_SERVING' },
    'inference-extension': { status: 'NOT_SERVING' },
    'envoy.service.ext_proc.v3.ExternalProcessor': { status: 'NOT_SERVING' },
    liveness: { status: 'SERVING' },
  });
});

it('tells watchers of changes, and unknown names as such', async () => {
  const known = client.watchHealth('readiness');
  const unknown = client.watchHealth('elsewhere');
  await expect.poll(() => known.statuses).toEqual(['NOT_SERVING']);
  state.isReady = true;
  await expect.poll(() => known.statuses, { timeout: 5_000 }).toEqual(['NOT_SERVING', 'SERVING']);
  expect(unknown.statuses).toEqual(['SERVICE_UNKNOWN']);
  known.stop();
  unknown.stop();
});

it('watchers do not hold up a stop', async () => {
  const watcher = client.watchHealth('readiness');
  await expect.poll(() => watcher.statuses).toHaveLength(1);
  state.isReady = true;
  // Held up, it would take until this deadline, which is beyond the test's.
  await server.close(600_000);
  await expect.poll(() => watcher.statuses).toEqual(['NOT_SERVING', 'SERVING']);
});
