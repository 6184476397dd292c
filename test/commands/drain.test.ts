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
const body = JSON.stringify({ model: 'fake-model', messages: [{ role: 'user', content: 'hello' }] });

describe.each(['fast', 'grpc-js'])('pointsman epp over %s', (transport) => {
  it('finishes the streams that are open when it is told to stop, and tells that it is not ready', async () => {
    const engine = await startFakeEngine();
    onTestFinished(() => engine.close());
    const folder = folderWith({
      'pointsman.yaml': `extProc: { transport: ${transport}, tls: { mode: 'off' } }\n`,
    });
    const args = ['epp', '-c', 'pointsman.yaml', '--endpoints', engine.address, ...anyPorts];
    const program = new Pointsman(args, { cwd: folder });
    const [, address] = await program.printed(/"address":"([^"]+)","msg":"extProc is listening"/);
    const client = new ExtProcClient({ address: address! });
    onTestFinished(() => client.close());
    await expect.poll(() => client.health('readiness')).toBe('SERVING');
    await expect.poll(() => isPicked(client), { timeout: 10_000 }).toBe(true);

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
});

/** The engine has been read, so that requests find it. */
async function isPicked(client: ExtProcClient): Promise<boolean> {
  const exchange = client.open();
  exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(body));
  const reply = await exchange.next();
  exchange.cancel();
  return reply?.response === 'requestHeaders';
}
