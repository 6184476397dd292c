import { randomBytes } from 'node:crypto';
import { connect } from 'node:http2';
import { afterAll, beforeAll, expect } from 'vitest';
import { type Bootstrap, connectionManager } from '../../bench/envoy/bootstrap.ts';
import { controlHeaders } from '../../src/protocol/headers.ts';
import type { Echo } from '../ext-proc/echo-engine.ts';
import { chat, post, sha256, startTopology, type Topology } from '../ext-proc/envoy-topology.ts';
import { describeWithEnvoy } from '../support/with-envoy.ts';

const modes = ['FULL_DUPLEX_STREAMED', 'BUFFERED'];
for (const [mode, workers] of [
  ...modes.map((each) => [each, 0] as const),
  ['FULL_DUPLEX_STREAMED', 2] as const,
])
  describeWithEnvoy(`a request in ${mode}, with ${workers} workers`, (test, envoy) => {
    let topology: Topology;
    beforeAll(async () => {
      if (envoy === undefined) return;
      topology = await startTopology({ envoy, mode, workers, adjust: trustClients });
    });
    afterAll(async () => {
      await topology?.close();
    });
    const lastPick = () => topology.picker.picks.at(-1)!;

    test('a request goes to the engine that was picked, unchanged', async () => {
      const body = chat('hello');
      const { status, echo } = await post(topology, body);
      expect(status).toBe(200);
      expect(topology.engines.map(({ address }) => address)).toContain(echo.engine);
      expect(echo).toMatchObject({ method: 'POST', path: '/v1/chat/completions', bodySha256: sha256(body) });
      expect(echo.headers['x-gateway-destination-endpoint']).toBe(echo.engine);
      expect(lastPick().request.model).toBe('m');
      await expect
        .poll(() => lastPick().outcomes)
        .toMatchObject([{ kind: 'completed', status: 200, usage: { promptTokens: 5, completionTokens: 2 } }]);
    });

    test('an answer is streamed token by token', async () => {
      const answer = stream(topology);
      // BUFFERED shows nothing to anyone before the end.
      if (mode === 'BUFFERED') await finishStreams(topology);
      const reader = (await answer).body!.getReader();
      const first = Buffer.from((await reader.read()).value!).toString();
      expect(first).toContain('hello');
      await expect.poll(() => lastPick().firstTokens).toBe(1);
      if (mode !== 'BUFFERED') await finishStreams(topology);
      let all = first;
      for (let part = await reader.read(); !part.done; part = await reader.read())
        all += Buffer.from(part.value);
      expect(all.endsWith('data: [DONE]\n\n')).toBe(true);
      await expect
        .poll(() => lastPick().outcomes)
        .toMatchObject([{ kind: 'completed', usage: { completionTokens: 2 } }]);
    });

    test('control headers of the client never arrive', async () => {
      const victim = topology.engines[0]!;
      for (let round = 0; round < 4; round++) {
        const spoofed = Object.fromEntries(controlHeaders.map((name) => [name, victim.address]));
        const { echo } = await post(topology, chat('spoof'), spoofed);
        const arrived = controlHeaders.filter((name) => name in echo.headers);
        expect(arrived).toEqual(['x-gateway-destination-endpoint']);
        expect(echo.headers['x-gateway-destination-endpoint']).toBe(echo.engine);
      }
      expect(topology.engines.every((engine) => engine.served() > 0)).toBe(true);
    });

    test('the id of the client is kept, or one is made', async () => {
      const { echo } = await post(topology, chat('id'));
      expect(echo.headers['x-request-id']).toMatch(/./);
    });

    test('GET /v1/models goes through', async () => {
      const response = await fetch(`${topology.envoy.url}/v1/models`);
      const { echo } = (await response.json()) as { echo: Echo };
      expect(echo).toMatchObject({ method: 'GET', path: '/v1/models', bodyBytes: 0 });
    });

    test('an error status of the engine arrives and is noted', async () => {
      const { status } = await post(topology, chat('busy'), { 'x-echo-status': '429' });
      expect(status).toBe(429);
      await expect.poll(() => lastPick().outcomes).toEqual([{ kind: 'rejected_by_engine', status: 429 }]);
    });

    test('a body that is no JSON is a 400 in JSON', async () => {
      const { status, headers, text } = await post(topology, '{"model":');
      expect(status).toBe(400);
      expect(headers.get('content-type')).toBe('application/json');
      expect(JSON.parse(text)).toMatchObject({
        error: { code: 'invalid_json', type: 'invalid_request_error' },
      });
    });

    test('no endpoint is a 503 in JSON with Retry-After', async () => {
      const { status, headers, text } = await post(topology, chat('x'), { 'x-test-subset': '10.9.9.9:1' });
      expect(status).toBe(503);
      expect(headers.get('retry-after')).toBe('1');
      expect(headers.get('x-llm-d-request-dropped-reason')).toBe('rejected-no-endpoints');
      expect(JSON.parse(text)).toMatchObject({ error: { code: 'no_endpoints' } });
    });

    test('the pick stays within the subset that the data plane allows', async () => {
      const [, allowed] = topology.engines;
      for (let round = 0; round < 3; round++) {
        const { echo } = await post(topology, chat('x'), {
          'x-test-subset': ` ${allowed!.address} , 10.9.9.9:1`,
        });
        expect(echo.engine).toBe(allowed!.address);
      }
    });

    test('a body of one megabyte arrives byte for byte', async () => {
      // BUFFERED keeps within Envoy's buffer, which this bootstrap sets to 64 KiB.
      const body = chat(randomBytes(mode === 'BUFFERED' ? 20_000 : 600_000).toString('hex'));
      const { status, echo } = await post(topology, body);
      expect(status).toBe(200);
      expect(echo).toMatchObject({ bodyBytes: body.length, bodySha256: sha256(body) });
    });

    test('a client that leaves is noted as such', async () => {
      const picks = topology.picker.picks.length;
      const aborter = new AbortController();
      const answer = stream(topology, aborter.signal);
      const ended = expect(answer.then((response) => response.text())).rejects.toThrow(/abort/);
      await expect.poll(() => topology.engines.some((engine) => engine.streaming() > 0)).toBe(true);
      expect(topology.picker.picks).toHaveLength(picks + 1);
      aborter.abort();
      await ended;
      await expect.poll(() => lastPick().outcomes).toEqual([{ kind: 'client_aborted' }]);
      await expect.poll(() => topology.engines.some((engine) => engine.aborted() > 0)).toBe(true);
      await finishStreams(topology);
    });

    test('50 clients at once are never mixed up', async () => {
      const until = Date.now() + 2_000;
      let answered = 0;
      await Promise.all(
        Array.from({ length: 50 }, async (_, client) => {
          for (let turn = 0; Date.now() < until; turn++) {
            const body = chat(`${client}-${turn}-${'x'.repeat((client * 997) % 30_000)}`);
            const { status, echo } = await post(topology, body);
            expect(status).toBe(200);
            expect(echo.bodySha256).toBe(sha256(body));
            expect(echo.headers['x-gateway-destination-endpoint']).toBe(echo.engine);
            answered++;
          }
        }),
      );
      expect(answered).toBeGreaterThan(50);
      await expect.poll(() => topology.picker.inFlight()).toBe(0);
      expect(topology.picker.picks.every(({ outcomes }) => outcomes.length === 1)).toBe(true);
    });

    test('Envoy counts no message that it did not expect', async () => {
      for (const name of [
        'spurious_msgs_received',
        'streams_failed',
        'message_timeouts',
        'http_not_ok_resp_received',
      ]) {
        expect(await topology.envoy.stat(`http.ingress.ext_proc.${name}`), name).toBe(0);
      }
    });
  });

/** Leaves it to the picker alone to keep clients from steering. */
function trustClients(bootstrap: Bootstrap): void {
  delete connectionManager(bootstrap)['early_header_mutation_extensions'];
}

async function stream({ envoy }: Topology, signal?: AbortSignal): Promise<Response> {
  const headers = { 'x-echo': 'stream' };
  const init = { method: 'POST', headers, body: chat('hello'), ...(signal ? { signal } : {}) };
  return fetch(`${envoy.url}/v1/chat/completions`, init);
}

/** Once one is there. */
async function finishStreams({ engines }: Topology): Promise<void> {
  await expect.poll(() => engines.some((engine) => engine.streaming() > 0)).toBe(true);
  for (const engine of engines) engine.finishStreams();
}

describeWithEnvoy('other modes', (test) => {
  test('request trailers end a request in full duplex', async (envoy) => {
    const topology = await startTopology({ envoy });
    try {
      expect(await postWithTrailers(topology.envoy.url, chat('trailers'))).toMatchObject({
        bodySha256: sha256(chat('trailers')),
      });
      expect(topology.picker.picks[0]?.request.model).toBe('m');
    } finally {
      await topology.close();
    }
  });

  for (const mode of ['STREAMED', 'BUFFERED_PARTIAL', 'NONE']) {
    test(`${mode} works as well as it can`, async (envoy) => {
      const topology = await startTopology({ envoy, mode, adjust: trustClients });
      try {
        const body = chat('x'.repeat(100_000));
        for (let round = 0; round < 4; round++) {
          const { status, echo } = await post(topology, body, { 'x-prefiller-host-port': 'evil:1' });
          expect(status).toBe(200);
          expect(echo.bodySha256).toBe(sha256(body));
          expect(echo.headers['x-gateway-destination-endpoint']).toBe(echo.engine);
        }
        await expect.poll(() => topology.picker.inFlight()).toBe(0);
        expect(topology.picker.picks.map(({ outcomes }) => outcomes[0]?.kind)).toEqual(
          Array(4).fill('completed'),
        );
        expect(await topology.envoy.stat('http.ingress.ext_proc.spurious_msgs_received')).toBe(0);
      } finally {
        await topology.close();
      }
    });
  }
});

async function postWithTrailers(url: string, body: string): Promise<Echo> {
  const session = connect(url);
  try {
    const stream = session.request(
      { ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json' },
      { endStream: false, waitForTrailers: true },
    );
    let sent = false;
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'x-checksum': '1' });
      sent = true;
    });
    stream.end(body);
    let text = '';
    for await (const chunk of stream) text += chunk;
    expect(sent).toBe(true);
    return (JSON.parse(text) as { echo: Echo }).echo;
  } finally {
    session.close();
  }
}
