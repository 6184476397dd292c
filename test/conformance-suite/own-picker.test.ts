import { afterAll, describe, expect, it } from 'vitest';
import { failureLines, runRows, selectRows } from '../../src/conformance/index.ts';
import { openBackends, servePicker, sessionWith } from './served-picker.ts';

const cleanups: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** Cannot be brought about from outside; told as skipped, with the reason. */
const notJudged = ['shed', 'shed', 'shed', 'shed-headers', 'shed-headers', 'shed-over', 'health-readiness'];
const notJudgedInPlainText = ['tls-alpn', 'tls-no-alpn'];

/** Every case, also SHOULD and INFO: what we ask of others we keep ourselves. */
describe('our own picker', () => {
  it.each([
    { transport: 'fast', isEncrypted: true, workers: 0 },
    { transport: 'grpc-js', isEncrypted: false, workers: 0 },
    { transport: 'fast', isEncrypted: true, workers: 2 },
    { transport: 'grpc-js', isEncrypted: true, workers: 2 },
  ] as const)(
    'passes with transport $transport, TLS $isEncrypted, $workers workers',
    async ({ transport, isEncrypted, workers }) => {
      const { backends, endpoints } = await openBackends();
      cleanups.push(() => backends.close());
      const server = await servePicker({ endpoints, transport, isEncrypted, workers });
      cleanups.push(() => server.close(0));
      const target = { host: '127.0.0.1', port: server.port, usesTls: isEncrypted };
      const session = sessionWith(server.address, { backends, endpoints, target });
      cleanups.push(() => session.close());

      const pool = await session.warmUp();
      expect(pool.seen).toEqual(endpoints);
      const rows = await runRows(session, selectRows(), () => {});
      expect(failureLines(rows)).toEqual([]);
      const skipped = rows.filter(({ result }) => result.kind === 'skipped');
      const expected = isEncrypted ? notJudged : [...notJudged, ...notJudgedInPlainText];
      expect(skipped.map((row) => row.conformanceCase.id).sort()).toEqual([...expected].sort());
    },
    240_000,
  );

  it.each(['fast', 'grpc-js'] as const)(
    'sheds over transport %s where it is set up to',
    async (transport) => {
      const { backends, endpoints } = await openBackends();
      cleanups.push(() => backends.close());
      const flowControl = { enabled: true, roomMs: 0.001, maxQueuedRequests: 3 };
      const server = await servePicker({ endpoints, transport, isEncrypted: false, flowControl });
      cleanups.push(() => server.close(0));
      const session = sessionWith(server.address, { backends, endpoints, sheds: 'batch' });
      cleanups.push(() => session.close());
      await session.warmUp();
      const rows = await runRows(session, selectRows({ only: /^shed/ }), () => {});
      expect(failureLines(rows)).toEqual([]);
      expect(rows.filter(({ result }) => result.kind === 'passed')).toHaveLength(6);
    },
  );

  it('passes with a declared list of fallbacks', async () => {
    const { backends, endpoints } = await openBackends();
    cleanups.push(() => backends.close());
    const server = await servePicker({ endpoints, transport: 'fast', isEncrypted: false, fallbacks: 2 });
    cleanups.push(() => server.close(0));
    const session = sessionWith(server.address, { backends, endpoints, namesFallbacks: true });
    cleanups.push(() => session.close());
    await session.warmUp();
    const rows = await runRows(session, selectRows({ families: ['istio'], only: /istio\]/ }), () => {});
    expect(failureLines(rows)).toEqual([]);
    const list = rows.find((row) => row.conformanceCase.id === 'destination-single')?.result;
    expect(list?.kind === 'passed' ? list.found.split(',').length : list).toBe(3);
  });
});
