import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { answer, hangUp, keepSilent } from '../support/fake-engine.ts';
import { chatBody, post, startGateway, streamBody } from '../support/gateway-fixture.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe('an engine that cannot be reached', () => {
  it('is passed over for the next of the ranking, and reported', async () => {
    const { url, engines, picker } = await startGateway({ engines: [{}, {}, {}] });
    await Promise.all([engines[0]!.close(), engines[1]!.close()]);
    const response = await post(`${url}/v1/chat/completions`, streamBody);
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('[DONE]');
    expect(engines[2]!.requests[0]?.body.toString()).toBe(streamBody);
    expect(picker.retries).toEqual(['ECONNREFUSED', 'ECONNREFUSED']);
    expect(picker.outcomes).toMatchObject([{ kind: 'completed' }]);
  });

  it('ends in 502 when it was the last, without telling addresses', async () => {
    const { url, engine, picker } = await startGateway();
    await engine.close();
    const response = await post(`${url}/v1/chat/completions`, chatBody);
    expect([response.status, await response.json()]).toEqual([
      502,
      {
        error: {
          message: 'Could not connect to the only engine tried (ECONNREFUSED).',
          type: 'server_error',
          param: null,
          code: 'bad_upstream',
        },
      },
    ]);
    expect(picker.outcomes).toEqual([{ kind: 'connect_failed', reason: 'ECONNREFUSED' }]);
  });
});

describe('an engine that closes the connection before it answers', () => {
  it('has its request sent to one more', async () => {
    const { url, engines, picker } = await startGateway({ engines: [{ behaviour: hangUp }, {}] });
    expect((await post(`${url}/v1/chat/completions`, chatBody)).status).toBe(200);
    expect(engines.map(({ requests }) => requests.length)).toEqual([1, 1]);
    expect(picker.retries).toHaveLength(1);
  });

  it('does not have its request sent to all: it may be what killed it', async () => {
    const behaviours = [hangUp, hangUp, answer()].map((behaviour) => ({ behaviour }));
    const { url, engines, picker } = await startGateway({ engines: behaviours });
    const response = await post(`${url}/v1/chat/completions`, chatBody);
    expect(response.status).toBe(502);
    expect(await response.text()).toContain('"code":"upstream_reset"');
    expect(engines.map(({ requests }) => requests.length)).toEqual([1, 1, 0]);
    expect(picker.outcomes).toMatchObject([{ kind: 'upstream_failed' }]);
  });

  it('on a connection that had idled is asked again, and not blamed', async () => {
    // Answers the first request of a connection, and closes it on the second.
    let connections = 0;
    const server = createServer((socket: Socket) => {
      connections += 1;
      let requests = 0;
      socket.on('error', () => {});
      socket.on('data', () => {
        requests += 1;
        if (requests > 1) socket.resetAndDestroy();
        else socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}');
      });
    });
    servers.push(server);
    const { url, picker, engine } = await startGateway();
    const { port } = engine;
    await engine.close();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    for (let index = 0; index < 2; index += 1) {
      const response = await post(`${url}/v1/chat/completions`, chatBody);
      expect([response.status, await response.text()]).toEqual([200, '{}']);
    }
    expect(connections).toBe(2);
    expect(picker.retries).toEqual([]);
  });
});

describe('an engine that answers wrongly or not at all', () => {
  it('ends in 504 after the time for a first byte, and is not replaced', async () => {
    const engines = [{ behaviour: keepSilent }, {}];
    const fixture = await startGateway({ engines, timeouts: { firstByteMs: 200 } });
    const response = await post(`${fixture.url}/v1/chat/completions`, chatBody);
    expect(response.status).toBe(504);
    expect(await response.text()).toContain('"code":"upstream_timeout"');
    expect(fixture.engines[1]!.requests).toHaveLength(0);
    expect(fixture.picker.outcomes).toEqual([{ kind: 'upstream_failed', reason: 'UND_ERR_HEADERS_TIMEOUT' }]);
  });

  it('ends in 502 when it does not speak HTTP', async () => {
    const server = createServer((socket) => socket.on('error', () => {}).end('SSH-2.0-OpenSSH\r\n'));
    servers.push(server);
    const { url, engine, picker } = await startGateway();
    const { port } = engine;
    await engine.close();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const response = await post(`${url}/v1/chat/completions`, chatBody);
    expect(response.status).toBe(502);
    expect(await response.text()).toContain('not valid HTTP');
    expect(picker.outcomes).toMatchObject([{ kind: 'upstream_failed' }]);
  });
});
