import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createLog } from '../../../src/telemetry/index.ts';
import { createFleet } from '../../endpoint-picker/support.ts';
import { ExtProcClient, fullDuplex, requestBody, requestHeaders } from '../../support/ext-proc-client.ts';
import { serveOnLoopback } from '../../support/serve-ext-proc.ts';

const file = join(import.meta.dirname, 'bad-worker.mjs');
const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }] });

/** Two workers, of which the first misbehaves; the one that takes its place does not. */
async function serveWith(behaviour: 'junk' | 'hoard' | 'deaf') {
  const folder = mkdtempSync(join(tmpdir(), 'bad-worker-'));
  process.env['BAD_WORKER'] = behaviour;
  process.env['BAD_WORKER_TURN'] = join(folder, 'turn');
  const fleet = createFleet({ endpoints: 32 });
  const lines: Record<string, unknown>[] = [];
  const server = await serveOnLoopback({
    workers: 2,
    file,
    picker: fleet.picker,
    log: createLog({
      level: 'error',
      format: 'json',
      stream: { write: (line) => lines.push(JSON.parse(line)) },
    }),
    tls: { mode: 'off' },
    limits: { maxBodyBytes: 1 << 20, blockTokens: 16, maxPrefixTokens: 1024 },
    isServing: () => true,
  });
  onTestFinished(async () => {
    await server.close(0);
    rmSync(folder, { recursive: true });
  });
  return { fleet, server, lines };
}

/** On a connection of its own. */
function connectTo(address: string): ExtProcClient {
  const client = new ExtProcClient({ address });
  onTestFinished(() => client.close());
  return client;
}

async function isPickedFor(client: ExtProcClient): Promise<boolean> {
  const exchange = client.open();
  exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(body));
  const reply = await exchange.next();
  exchange.cancel();
  return reply?.response === 'requestHeaders';
}

/** The connection that the good worker has got. */
async function onGoodWorker(clients: readonly ExtProcClient[]): Promise<ExtProcClient> {
  return Promise.any(
    clients.map(async (client) => {
      if (!(await isPickedFor(client))) throw new Error('not picked for');
      return client;
    }),
  );
}

it.each([
  ['writes junk', 'junk', /^its link broke: Expected a frame of 1 to \d+ bytes, found one of 4294967295\.$/],
  ['asks for ever more', 'hoard', /^its link broke: Expected a ticket below 131072, found 131072\.$/],
  ['never reads its answers', 'deaf', /^it did not read what it was told$/],
] as const)(
  'a worker that %s is killed and replaced, and costs the others nothing',
  async (_, behaviour, reason) => {
    const { fleet, server, lines } = await serveWith(behaviour);
    const good = await onGoodWorker([connectTo(server.address), connectTo(server.address)]);
    while (lines.length === 0) expect(await isPickedFor(good)).toBe(true);
    expect(lines).toMatchObject([{ reason: expect.stringMatching(reason), restartMs: 100 }]);
    await expect.poll(() => fleet.picker.openAssignments, { timeout: 20_000 }).toBe(0);
    fleet.picker.checkIntegrity();
    // Its place is filled again: of three connections the new worker gets one at least.
    const more = [connectTo(server.address), connectTo(server.address), good];
    expect(await Promise.all(more.map(isPickedFor))).toEqual([true, true, true]);
    expect(lines).toHaveLength(1);
  },
  120_000,
);
