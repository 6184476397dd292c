import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { createFleet } from '../endpoint-picker/support.ts';
import {
  buffered,
  destinationMetadata,
  type Exchange,
  ExtProcClient,
  fullDuplex,
  type HeaderDialect,
  type HeaderMutationReply,
  type Modes,
  type Reply,
  requestBody,
  requestHeaders,
  responseBody,
  responseHeaders,
  setHeaders,
} from '../support/ext-proc-client.ts';
import { serveOnLoopback } from '../support/serve-ext-proc.ts';

/**
 * The Endpoint Picker Protocol (gateway-api-inference-extension, proposal 004), clause by clause as far as it
 * binds an endpoint picker, with the real decision service behind it. Clauses 10 and 11 bind the data plane.
 */

const destination = 'x-gateway-destination-endpoint';
const chatBody = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }] });

/** How each data plane speaks. */
const dialects: readonly { name: string; modes: Modes | undefined; dialect: HeaderDialect }[] = [
  { name: 'Envoy in full duplex', modes: fullDuplex, dialect: 'raw_value' },
  { name: 'Envoy buffered', modes: buffered, dialect: 'raw_value' },
  { name: 'agentgateway', modes: fullDuplex, dialect: 'agentgateway' },
  { name: 'NGINX Gateway Fabric', modes: undefined, dialect: 'value' },
];

describe.each([
  { transport: 'fast', workers: 0 },
  { transport: 'grpc-js', workers: 0 },
  { transport: 'fast', workers: 2 },
  { transport: 'grpc-js', workers: 1 },
] as const)('over the $transport transport, in $workers workers', ({ transport, workers }) => {
  let fleet: ReturnType<typeof createFleet>;
  let server: RunningServer;
  let client: ExtProcClient;
  /** What health answers on the ext-proc port. */
  const state = { isServing: true };

  beforeAll(async () => {
    fleet = createFleet({ endpoints: 3 });
    server = await serve(0);
    client = new ExtProcClient({ address: server.address });
  });

  afterAll(async () => {
    client.close();
    await server.close(0);
  });

  async function serve(fallbacks: number, maxBodyBytes = 100_000): Promise<RunningServer> {
    return serveOnLoopback({
      workers,
      picker: fleet.picker,
      log: silentLog,
      tls: { mode: 'off' },
      limits: { maxBodyBytes, blockTokens: 64, maxPrefixTokens: 4096 },
      isServing: () => state.isServing,
      fallbacks,
      transport,
    });
  }

  interface Asked {
    readonly exchange: Exchange;
    /** The reply that carries the pick, or the immediate response. */
    readonly reply: Reply;
    readonly mutation: HeaderMutationReply | undefined;
  }

  /** Sends one POST as the data plane does and reads up to the pick. */
  async function ask(
    { modes, dialect }: (typeof dialects)[number],
    options: {
      readonly headers?: Record<string, string>;
      readonly subset?: object;
      readonly body?: string;
      readonly via?: ExtProcClient;
    } = {},
  ): Promise<Asked> {
    const { headers = {}, subset, body = chatBody, via = client } = options;
    const exchange = via.open();
    const first = { headers, dialect, modes, ...(subset === undefined ? {} : { subset }) };
    exchange.send(requestHeaders(first));
    // A data plane that buffers waits for this reply before it sends the body.
    if (modes === buffered) await exchange.nextOf('requestHeaders');
    exchange.send(requestBody(body));
    if (modes === undefined) exchange.halfClose();
    const reply = (await exchange.next())!;
    const mutation = (reply.requestHeaders ?? reply.requestBody)?.response?.headerMutation;
    return { exchange, reply, mutation };
  }

  const picked = ({ mutation }: Asked) => setHeaders(mutation)[destination];

  function immediate({ reply }: Asked) {
    const { status, headers, body } = reply.immediateResponse ?? { status: { code: 0 } };
    return { status: status.code, headers: setHeaders(headers), body: JSON.parse(String(body)) as object };
  }

  describe.each(dialects)('$name', (dataPlane) => {
    it('clause 4: picks only from the subset', async () => {
      for (let round = 0; round < 6; round++) {
        const subset = listOf('10.0.0.2:8000', '10.0.0.3:8000', '10.9.9.9:1');
        const asked = await ask(dataPlane, { subset });
        expect(['10.0.0.2:8000', '10.0.0.3:8000']).toContain(picked(asked));
        asked.exchange.cancel();
      }
    });

    it.each([
      ['a list of host:port', listOf('10.0.0.2:8000')],
      ['a comma string', { stringValue: '10.9.9.9:1,10.0.0.2:8000' }],
      ['a list of comma strings with spaces', listOf(' 10.9.9.9:1 , 10.0.0.2:8000 ', '')],
      ['a host for all its ports', listOf('10.0.0.2')],
    ])('clause 4: reads the subset from %s', async (_, subset) => {
      const asked = await ask(dataPlane, { subset });
      expect(picked(asked)).toBe('10.0.0.2:8000');
      asked.exchange.cancel();
    });

    it.each([
      ['empty', listOf()],
      ['an empty string', { stringValue: '' }],
      ['without any known endpoint', listOf('10.9.9.9:8000')],
    ])('clause 4: a subset that is %s is a 503', async (_, subset) => {
      const { status, headers, body } = immediate(await ask(dataPlane, { subset }));
      expect(status).toBe(503);
      expect(headers['content-type']).toBe('application/json');
      expect(body).toMatchObject({ error: { code: 'no_endpoints' } });
    });

    it('clause 5: without a subset every endpoint of the pool is eligible', async () => {
      const seen = new Set<string | undefined>();
      const exchanges: Exchange[] = [];
      for (let round = 0; round < 3; round++) {
        const asked = await ask(dataPlane, { body: chatBody.replace('hello', `hello ${round}`) });
        seen.add(picked(asked));
        exchanges.push(asked.exchange);
        // NGINX Gateway Fabric does not stay, so its requests do not weigh on the next pick.
        if (dataPlane.modes === undefined) return;
      }
      expect(seen.size).toBe(3);
      for (const exchange of exchanges) exchange.cancel();
    });

    it('clauses 6, 7, 8: header and metadata name the same single endpoint', async () => {
      const asked = await ask(dataPlane);
      expect(picked(asked)).toMatch(/^10\.0\.0\.[123]:8000$/);
      expect(destinationMetadata(asked.reply)).toBe(picked(asked));
      asked.exchange.cancel();
    });

    it('clause 6: the header is a raw value that overwrites', async () => {
      const asked = await ask(dataPlane, { headers: { [destination]: '6.6.6.6:1' } });
      const option = asked.mutation?.setHeaders?.find(({ header }) => header.key === destination);
      expect(option?.header.value).toBeUndefined();
      expect(option?.header.rawValue?.toString()).not.toBe('6.6.6.6:1');
      expect(option?.appendAction).toBe('OVERWRITE_IF_EXISTS_OR_ADD');
      asked.exchange.cancel();
    });

    it('a client cannot smuggle control headers to an engine', async () => {
      const headers = { 'x-prefiller-host-port': '6.6.6.6:1', 'x-data-parallel-host-port': '6.6.6.6:2' };
      const asked = await ask(dataPlane, { headers });
      expect(asked.mutation?.removeHeaders).toEqual(Object.keys(headers));
      asked.exchange.cancel();
    });

    it('keeps the x-request-id of the client, else makes one', async () => {
      const kept = await ask(dataPlane, { headers: { 'x-request-id': 'theirs' } });
      expect(setHeaders(kept.mutation)['x-request-id']).toBeUndefined();
      const made = await ask(dataPlane);
      expect(setHeaders(made.mutation)['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
      kept.exchange.cancel();
      made.exchange.cancel();
    });

    it.each([
      ['invalid JSON', '{', 400, 'invalid_json'],
      ['no model', '{"messages":[]}', 400, 'invalid_request'],
      ['too long a body', `{"model":"m","prompt":"${'x'.repeat(100_000)}"}`, 413, 'request_too_large'],
    ])('%s is an immediate response, never a gRPC error', async (_, body, status, code) => {
      const asked = await ask(dataPlane, { body });
      expect(immediate(asked)).toMatchObject({ status, body: { error: { code } } });
      expect((await asked.exchange.finished).code).toBe(0);
    });

    it('leaves no load behind', async () => {
      const { picker, clock, pool } = fleet;
      await expect.poll(() => picker.openAssignments).toBe(0);
      picker.checkIntegrity();
      expect(pool.snapshot(clock.nowMs).map(({ inFlight }) => inFlight.requests)).toEqual([0, 0, 0]);
    });
  });

  describe('clause 2: full duplex, token by token', () => {
    const [envoy] = dialects;

    it('every reply to a body is a streamed_response, in order after the headers', async () => {
      const { exchange } = await ask(envoy!);
      expect((await exchange.nextBody('requestBody')).toString()).toBe(chatBody);
      exchange.send(responseHeaders({ ':status': '200', 'content-type': 'text/event-stream' }));
      const headers = await exchange.nextOf('responseHeaders');
      expect(headers.responseHeaders?.response?.headerMutation).toBeUndefined();
      for (const text of ['data: {"choices":[{"delta":{"content":"a"}}]}\n\n', 'data: [DONE]\n\n']) {
        exchange.send(responseBody(text));
        const reply = await exchange.nextOf('responseBody');
        const streamed = reply.responseBody?.response?.bodyMutation?.streamedResponse;
        expect(streamed?.body?.toString()).toBe(text);
        expect(streamed?.endOfStream ?? false).toBe(false);
      }
      exchange.send(responseBody('', true));
      expect((await exchange.nextBody('responseBody')).length).toBe(0);
      exchange.halfClose();
      expect((await exchange.finished).code).toBe(0);
      await expect
        .poll(() => fleet.finished.at(-1))
        .toMatchObject({ outcome: { kind: 'completed', status: 200 } });
    });

    it('trailers are answered in both directions', async () => {
      const exchange = client.open();
      exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(chatBody, false));
      exchange.send({ requestTrailers: {} });
      await exchange.nextOf('requestHeaders');
      const body = await exchange.nextOf('requestBody');
      expect(body.requestBody?.response?.bodyMutation?.streamedResponse?.endOfStream ?? false).toBe(false);
      await exchange.nextOf('requestTrailers');
      exchange.send(responseHeaders({ ':status': '200' })).send({ responseTrailers: {} });
      await exchange.nextOf('responseHeaders');
      await exchange.nextOf('responseTrailers');
      exchange.halfClose();
      expect((await exchange.finished).code).toBe(0);
    });

    it('a request without a body is answered on its headers', async () => {
      const exchange = client.open();
      const headers = { ':method': 'GET', ':path': '/v1/models' };
      exchange.send(requestHeaders({ modes: fullDuplex, headers, endOfStream: true }));
      const reply = await exchange.nextOf('requestHeaders');
      expect(destinationMetadata(reply)).toMatch(/:8000$/);
      exchange.cancel();
    });
  });

  describe('clause 9: when no endpoint can be had', () => {
    it('none ready is a 503', async () => {
      const { pool, clock } = fleet;
      const endpoints = pool.snapshot(clock.nowMs).map(({ name, address }) => ({ name, address }));
      for (const { name } of endpoints) pool.remove(name);
      const { status, headers, body } = immediate(await ask(dialects[0]!));
      for (const endpoint of endpoints) {
        pool.upsert(endpoint);
        fleet.scrape(endpoint.name);
      }
      expect(status).toBe(503);
      expect(headers).toMatchObject({
        'retry-after': '1',
        'x-llm-d-request-dropped-reason': 'rejected-no-endpoints',
      });
      expect(body).toMatchObject({ error: { code: 'no_endpoints' } });
    });
  });

  describe('clauses 10 and 12: a list, where the operator asks for one', () => {
    let listServer: RunningServer;
    let listClient: ExtProcClient;
    beforeAll(async () => {
      listServer = await serve(2);
      listClient = new ExtProcClient({ address: listServer.address });
    });
    afterAll(async () => {
      listClient.close();
      await listServer.close(0);
    });

    it('names every endpoint once, the same in header and metadata', async () => {
      const asked = await ask(dialects[0]!, { via: listClient });
      const list = picked(asked)!.split(',');
      expect([...list].sort()).toEqual(['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000']);
      expect(destinationMetadata(asked.reply)).toBe(picked(asked));
      asked.exchange.cancel();
    });

    it('clause 12: the endpoint that served gets the load and the record', async () => {
      const asked = await ask(dialects[0]!, { via: listClient });
      const { exchange } = asked;
      await exchange.nextBody('requestBody');
      const served = picked(asked)!.split(',')[1]!;
      exchange.send(responseHeaders({ ':status': '200', 'content-type': 'application/json' }, { served }));
      await exchange.nextOf('responseHeaders');
      exchange.send(responseBody('{}', true));
      await exchange.nextBody('responseBody');
      exchange.halfClose();
      await exchange.finished;
      await expect.poll(() => fleet.picker.openAssignments).toBe(0);
      const { endpoint, retries } = fleet.finished.at(-1)!;
      expect(fleet.endpoint(endpoint).address).toBe(served);
      expect(retries).toBe(1);
    });
  });

  describe('clause 13: health beside the service', () => {
    const service = 'envoy.service.ext_proc.v3.ExternalProcessor';

    it.each(['', 'readiness', 'inference-extension', service])(
      '%o tells whether requests are welcome',
      async (name) => {
        await expect.poll(() => client.health(name)).toBe('SERVING');
        state.isServing = false;
        await expect.poll(() => client.health(name)).toBe('NOT_SERVING');
        state.isServing = true;
      },
    );

    it('liveness does not depend on it', async () => {
      state.isServing = false;
      expect(await client.health('liveness')).toBe('SERVING');
      state.isServing = true;
    });

    it('requests are served while it is not ready', async () => {
      state.isServing = false;
      const asked = await ask(dialects[0]!);
      expect(picked(asked)).toMatch(/:8000$/);
      asked.exchange.cancel();
      state.isServing = true;
    });
  });

  function listOf(...entries: string[]): object {
    return { listValue: { values: entries.map((stringValue) => ({ stringValue })) } };
  }
});
