import { describe, expect, it, onTestFinished } from 'vitest';
import { folderWith } from '../configuration/folder.ts';
import {
  ExtProcClient,
  fullDuplex,
  requestBody,
  requestHeaders,
  responseBody,
  responseHeaders,
} from '../support/ext-proc-client.ts';
import { startFakeEngine } from '../support/fake-engine.ts';
import { Pointsman } from '../support/pointsman.ts';

const anyPorts = ['--ext-proc-port=0', '--health-port=0', '--metrics-port=0', '--log-format=json'];
/** Until a second signal. */
const drainsForever = '--drain-delay=600000';
const body = JSON.stringify({ model: 'fake-model', messages: [{ role: 'user', content: 'hello' }] });

describe.each([
  { transport: 'fast', workers: 0 },
  { transport: 'grpc-js', workers: 0 },
  { transport: 'fast', workers: 2 },
  { transport: 'grpc-js', workers: 2 },
])('pointsman epp over $transport in $workers workers', ({ transport, workers }) => {
  async function start(drainDelay: string, settings = '') {
    const engine = await startFakeEngine();
    onTestFinished(() => engine.close());
    const folder = folderWith({
      'pointsman.yaml': `extProc: { transport: ${transport}, workers: ${workers}, tls: { mode: 'off' } }\n${settings}`,
    });
    const args = ['epp', '-c', 'pointsman.yaml', '--endpoints', engine.address, drainDelay, ...anyPorts];
    const program = new Pointsman(args, { cwd: folder });
    const [, address] = await program.printed(/"address":"([^"]+)","msg":"extProc is listening"/);
    const connect = () => {
      const client = new ExtProcClient({ address: address! });
      onTestFinished(() => client.close());
      return client;
    };
    const client = connect();
    await expect.poll(() => client.health('readiness')).toBe('SERVING');
    await expect.poll(() => isPicked(client), { timeout: 10_000 }).toBe(true);
    return { program, client, connect };
  }

  it('picks for new streams, on old and new connections, while it says that it is not ready', async () => {
    const { program, client, connect } = await start(drainsForever);
    program.child.kill('SIGTERM');
    await program.printed(/"msg":"stopping/);
    await expect.poll(() => client.health('readiness')).toBe('NOT_SERVING');
    expect(await client.health('liveness')).toBe('SERVING');
    expect(await isPicked(client)).toBe(true);
    expect(await isPicked(connect())).toBe(true);
    expect(await connect().health('readiness')).toBe('NOT_SERVING');
    await endAtOnce(program);
  });

  it('finishes the streams that are open when it is told to stop, and tells that it is not ready', async () => {
    const { program, client } = await start('--drain-delay=0');
    const exchange = client.open();
    exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(body));
    await exchange.nextOf('requestHeaders');
    await exchange.nextBody('requestBody');
    const watch = client.watchHealth('readiness');
    await expect.poll(() => watch.statuses).toEqual(['SERVING']);
    program.child.kill('SIGTERM');
    await program.printed(/"msg":"stopping/);
    await expect.poll(() => watch.statuses, { timeout: 3000 }).toEqual(['SERVING', 'NOT_SERVING']);
    watch.stop();

    exchange.send(responseHeaders({ ':status': '200', 'content-type': 'application/json' }));
    await exchange.nextOf('responseHeaders');
    const answer = '{"usage":{"prompt_tokens":3,"completion_tokens":1}}';
    exchange.send(responseBody(answer, true));
    expect((await exchange.nextBody('responseBody')).toString()).toBe(answer);
    exchange.halfClose();
    expect((await exchange.finished).code).toBe(0);
    const { code, stderr } = await program.finished();
    expect(code).toBe(0);
    expect(stderr).toContain('"outcome":"completed"');
    expect(stderr).not.toContain('cut_at_shutdown');
  });

  it('refuses what still waits in line at the deadline, with the reason, before it cuts what is open', async () => {
    const oneAtATime =
      'profile: { strategy: shadow-price }\nflowControl: { enabled: true, roomMs: 0.001 }\nshutdown: { deadlineMs: 700 }\n';
    const { program, client } = await start('--drain-delay=0', oneAtATime);
    const [, metrics] = await program.printed(/"address":"([^"]+)","msg":"metrics is listening"/);
    const ask = (content: string) =>
      JSON.stringify({ model: 'fake-model', stream: true, messages: [{ role: 'user', content }] });
    const served = client.open();
    served.send(requestHeaders({ modes: fullDuplex })).send(requestBody(ask('one '.repeat(500))));
    await served.nextOf('requestHeaders');
    const waiting = client.open();
    waiting.send(requestHeaders({ modes: fullDuplex })).send(requestBody(ask('two '.repeat(500))));
    await expect
      .poll(async () => (await fetch(`http://${metrics}/metrics`)).text())
      .toMatch(/^llm_d_epp_flow_control_queue_size\{.*\} 1$/m);
    program.child.kill('SIGTERM');
    const refusal = (await waiting.nextOf('immediateResponse')).immediateResponse;
    expect(refusal?.status.code).toBe(503);
    expect(JSON.parse(refusal!.body!.toString())).toMatchObject({ error: { code: 'shutting_down' } });
    const headers = refusal?.headers?.setHeaders?.map(({ header }) => [header.key, String(header.rawValue)]);
    expect(headers).toContainEqual(['x-llm-d-request-dropped-reason', 'rejected-shutting-down']);
    expect((await waiting.finished).code).toBe(0);
    expect((await served.finished).code).not.toBe(0);
    const { code, stderr } = await program.finished();
    expect(code).toBe(0);
    expect(stderr).toContain('"outcome":"cut_at_shutdown"');
  });
});

/** The engine has been read, so that requests find it. */
async function isPicked(client: ExtProcClient): Promise<boolean> {
  const exchange = client.open();
  exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(body));
  const reply = await exchange.next();
  exchange.cancel();
  return reply?.response === 'requestHeaders';
}

/** A second signal, which must not be taken for the same wish. */
async function endAtOnce(program: Pointsman): Promise<void> {
  const kill = setInterval(() => program.child.kill('SIGTERM'), 100);
  expect((await program.finished()).code).toBe(143);
  clearInterval(kill);
}

describe('pointsman gateway', () => {
  it('answers on new connections while it says that it is not ready', async () => {
    const engine = await startFakeEngine();
    onTestFinished(() => engine.close());
    const args = ['gateway', '--endpoints', engine.address, '--port=0', drainsForever, ...anyPorts];
    const program = new Pointsman(args);
    const [, address] = await program.printed(/"address":"([^"]+)","msg":"gateway is listening"/);
    const ask = () =>
      fetch(`http://${address}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    await expect.poll(async () => (await ask()).status, { timeout: 10_000 }).toBe(200);
    program.child.kill('SIGTERM');
    await program.printed(/"msg":"stopping/);
    await expect.poll(async () => (await fetch(`http://${address}/ready`)).status).toBe(503);
    for (let round = 0; round < 3; round++) {
      const answer = await ask();
      expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close']);
    }
    await endAtOnce(program);
  });
});
