import { request as httpRequest, type IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { answer, type Behaviour, keepSilent, stopMidStream } from '../support/fake-engine.ts';
import { chatBody, type GatewayFixture, post, startGateway, streamBody } from '../support/gateway-fixture.ts';
import { until } from '../support/until.ts';

/** A client that decides itself when to read. */
function slowPost(url: string, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      url,
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      resolve,
    );
    request.on('error', reject);
    request.end(body);
  });
}

const eventStream = { 'content-type': 'text/event-stream' };
const chat = ({ url }: GatewayFixture) => `${url}/v1/chat/completions`;

describe('a stream', () => {
  it('passes byte by byte as the engine sends it, and tells first token and usage', async () => {
    const fixture = await startGateway();
    const body = JSON.stringify({ ...JSON.parse(streamBody), stream_options: { include_usage: true } });
    const direct = await (await post(`http://${fixture.engine.address}/v1/chat/completions`, body)).text();
    const response = await post(chat(fixture), body);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toBe(direct);
    expect(fixture.picker.firstTokens).toBe(1);
    expect(fixture.picker.outcomes).toEqual([
      {
        kind: 'completed',
        status: 200,
        usage: { promptTokens: expect.any(Number), completionTokens: 4, cachedTokens: 0 },
      },
    ]);
  });

  it('shows its head and each event before the next one is made', async () => {
    const gates: (() => void)[] = [];
    const gate = () => new Promise<void>((resolve) => gates.push(resolve));
    const behaviour: Behaviour = async ({ response }) => {
      response.writeHead(200, eventStream).flushHeaders();
      for (let index = 0; index < 3; index += 1) {
        await gate();
        response.write(`data: {"choices":[{"text":"${index}"}]}\n\n`);
      }
      await gate();
      response.end();
    };
    const fixture = await startGateway({ engines: [{ behaviour }] });
    const response = await post(chat(fixture), streamBody);
    const reader = response.body!.getReader();
    for (let index = 0; index < 3; index += 1) {
      expect(fixture.picker.firstTokens).toBe(index === 0 ? 0 : 1);
      gates[index]!();
      const { value } = await reader.read();
      expect(Buffer.from(value!).toString()).toBe(`data: {"choices":[{"text":"${index}"}]}\n\n`);
    }
    gates[3]!();
    expect((await reader.read()).done).toBe(true);
  });

  it('that the engine breaks off ends with one error event and no [DONE]', async () => {
    const fixture = await startGateway();
    fixture.engine.behave(stopMidStream(2, 'reset'));
    const text = await (await post(chat(fixture), streamBody)).text();
    const events = text.split('\n\n').filter((event) => event !== '');
    expect(events).toHaveLength(3);
    expect(JSON.parse(events[2]!.slice('data: '.length))).toMatchObject({
      error: { code: 'upstream_reset', type: 'server_error', message: expect.stringContaining('incomplete') },
    });
    expect(fixture.picker.outcomes).toEqual([{ kind: 'upstream_failed', reason: expect.any(String) }]);
  });

  it.each([
    ['/v1/messages', { type: 'error', error: { type: 'api_error', message: expect.any(String) } }],
    [
      '/v1/responses',
      { type: 'error', code: 'upstream_reset', message: expect.any(String), param: null, sequence_number: 0 },
    ],
  ])('of %s that breaks off ends in its own dialect', async (path, expected) => {
    const { url, engine } = await startGateway();
    engine.behave(stopMidStream(1, 'reset'));
    const text = await (await post(`${url}${path}`, streamBody)).text();
    const [, event] = text.split('\n\n');
    const [name, data] = event!.split('\n');
    expect(name).toBe('event: error');
    expect(JSON.parse(data!.slice('data: '.length))).toEqual(expected);
  });

  it('that breaks off within an event cuts the connection, so that no half event is taken for whole', async () => {
    const fixture = await startGateway();
    fixture.engine.behave(stopMidStream(1, 'reset', 'data: {"choi'));
    const response = await post(chat(fixture), streamBody);
    await expect(response.text()).rejects.toThrow();
  });

  it('that falls silent ends with a timeout error event', async () => {
    const fixture = await startGateway({ timeouts: { idleMs: 300 } });
    fixture.engine.behave(stopMidStream(1, 'silence'));
    const text = await (await post(chat(fixture), streamBody)).text();
    expect(text).toContain('"code":"upstream_timeout"');
    expect(fixture.picker.outcomes).toEqual([{ kind: 'upstream_failed', reason: 'UND_ERR_BODY_TIMEOUT' }]);
    await until(() => fixture.engine.openResponses === 0);
  });
});

describe('a JSON body', () => {
  it('that breaks off cuts the connection', async () => {
    const behaviour: Behaviour = ({ response }) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"choices":', () => response.socket?.resetAndDestroy());
    };
    const fixture = await startGateway({ engines: [{ behaviour }] });
    const response = await post(chat(fixture), chatBody);
    await expect(response.text()).rejects.toThrow();
    expect(fixture.picker.outcomes).toMatchObject([{ kind: 'upstream_failed' }]);
  });

  it('may be large, in both directions', async () => {
    const large = JSON.stringify({ model: 'fake-model', messages: [], padding: 'x'.repeat(3_000_000) });
    const behaviour: Behaviour = ({ request, response }) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(request.body);
    };
    const fixture = await startGateway({ engines: [{ behaviour }] });
    expect(await (await post(chat(fixture), large)).text()).toBe(large);
  });
});

describe('a client that goes away', () => {
  it.each([
    ['before the answer', keepSilent],
    ['within a stream', stopMidStream(3, 'silence')],
  ])('%s closes the connection to the engine at once', async (_, behaviour) => {
    const fixture = await startGateway({ engines: [{ behaviour }] });
    const abort = new AbortController();
    const headers = { 'content-type': 'application/json' };
    const answered = fetch(chat(fixture), { method: 'POST', body: streamBody, headers, signal: abort.signal })
      .then((response) => response.text())
      .catch((error: Error) => error.name);
    await until(() => fixture.engine.requests.length === 1);
    if (behaviour !== keepSilent) await until(() => fixture.picker.firstTokens === 1);
    abort.abort();
    await until(() => fixture.engine.abortedResponses === 1, 500);
    expect(await answered).toBe('AbortError');
    expect(fixture.picker.outcomes).toEqual([{ kind: 'client_aborted' }]);
  });

  it('while it waits for an endpoint gives up its place', async () => {
    const fixture = await startGateway();
    let wasAborted = false;
    fixture.picker.pickWith(
      (signal) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            wasAborted = true;
            reject(new Error('aborted'));
          }),
        ),
    );
    const abort = new AbortController();
    const headers = { 'content-type': 'application/json' };
    const answered = fetch(chat(fixture), {
      method: 'POST',
      body: chatBody,
      headers,
      signal: abort.signal,
    }).catch((error: Error) => error.name);
    await until(() => fixture.picker.requests.length === 1);
    abort.abort();
    await until(() => wasAborted, 500);
    expect(await answered).toBe('AbortError');
    expect(fixture.engine.requests).toHaveLength(0);
  });
});

describe('a slow client', () => {
  const chunkBytes = 64 * 1024;

  it('holds the engine back, and gets every byte in the end', async () => {
    const chunks = 400;
    let written = 0;
    const behaviour: Behaviour = async ({ response }) => {
      response.writeHead(200, eventStream);
      for (let index = 0; index < chunks && !response.destroyed; index += 1) {
        written += 1;
        if (!response.write(`data: ${'x'.repeat(chunkBytes - 8)}\n\n`)) {
          await new Promise((resolve) => response.once('drain', resolve));
        }
      }
      response.end();
    };
    const fixture = await startGateway({ engines: [{ behaviour }] });
    const response = await slowPost(chat(fixture), streamBody);
    // Nothing is read: the kernel's buffers fill, then the gateway must stop the engine.
    let before = -1;
    await until(() => {
      const hasStopped = written === before && written > 0;
      before = written;
      return hasStopped && fixture.engine.openResponses === 1;
    });
    expect(written).toBeLessThan(chunks);
    let received = 0;
    for await (const chunk of response) received += (chunk as Buffer).length;
    expect(received).toBe(chunks * chunkBytes);
    expect(fixture.picker.outcomes).toMatchObject([{ kind: 'completed' }]);
  });

  it('that takes nothing at all is cut', async () => {
    const behaviour: Behaviour = ({ response }) => {
      response.writeHead(200, eventStream);
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(chunkBytes)));
      };
      response.on('drain', more);
      more();
    };
    const fixture = await startGateway({ engines: [{ behaviour }], timeouts: { idleMs: 300 } });
    const response = await slowPost(chat(fixture), streamBody);
    await until(() => fixture.engine.abortedResponses === 1);
    expect(fixture.picker.outcomes).toEqual([{ kind: 'client_aborted' }]);
    response.destroy();
  });
});

describe('closing', () => {
  it('lets streams finish within the deadline, and takes no new connection', async () => {
    const fixture = await startGateway({ engines: [{ behaviour: answer({ tokens: 20, tokenDelayMs: 5 }) }] });
    const response = await post(chat(fixture), streamBody);
    const closed = fixture.gateway.close(5000);
    await expect(post(chat(fixture), chatBody)).rejects.toThrow();
    expect(await response.text()).toContain('[DONE]');
    await closed;
    expect(fixture.picker.outcomes).toMatchObject([{ kind: 'completed' }]);
  });

  it('cuts what is still open at the deadline, telling streams why', async () => {
    const fixture = await startGateway({ engines: [{ behaviour: stopMidStream(1, 'silence') }] });
    const response = await post(chat(fixture), streamBody);
    fixture.engine.behave(keepSilent);
    const waiting = post(chat(fixture), chatBody);
    await until(() => fixture.engine.requests.length === 2);
    await fixture.gateway.close(50);
    expect(await response.text()).toContain('"code":"shutting_down"');
    expect((await waiting).status).toBe(503);
    await until(() => fixture.engine.openResponses === 0);
  });

  it('is idempotent, and quick when nothing is open', async () => {
    const fixture = await startGateway();
    await (await post(chat(fixture), chatBody)).text();
    const started = performance.now();
    await Promise.all([fixture.gateway.close(5000), fixture.gateway.close(1)]);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
