import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { generate } from 'selfsigned';
import { afterEach, describe, expect, it } from 'vitest';
import { serveExtProc, serveHealth, type TlsOptions } from '../../src/ext-proc/index.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import {
  buffered,
  ExtProcClient,
  fullDuplex,
  requestBody,
  requestHeaders,
  responseBody,
  responseHeaders,
  setHeaders,
} from '../support/ext-proc-client.ts';
import { type FakePicker, fakePicker } from './fakes.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

describe.each(['fast', 'grpc-js'] as const)('over the %s transport', (transport) => {
  async function serve(picker: FakePicker, tls: TlsOptions = { mode: 'off' }): Promise<RunningServer> {
    const server = await serveExtProc({
      host: '127.0.0.1',
      port: 0,
      picker,
      log: silentLog,
      tls,
      limits: { maxBodyBytes: 64_000_000, blockTokens: 16, maxPrefixTokens: 4096 },
      isServing: () => true,
      transport,
    });
    closers.push(() => server.close(0));
    return server;
  }

  function connectTo({ address }: RunningServer, tls = false): ExtProcClient {
    const client = new ExtProcClient({ address, tls });
    closers.push(() => client.close());
    return client;
  }

  const chatBody = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }] });

  it('carries a whole exchange over gRPC and finishes once', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    const exchange = connectTo(await serve(picker)).open();
    exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(chatBody));
    const headers = await exchange.nextOf('requestHeaders');
    expect(setHeaders(headers.requestHeaders?.response?.headerMutation)).toMatchObject({
      'x-gateway-destination-endpoint': '10.0.0.1:8000',
    });
    expect((await exchange.nextBody('requestBody')).toString()).toBe(chatBody);
    exchange.send(responseHeaders({ ':status': '200', 'content-type': 'application/json' }));
    await exchange.nextOf('responseHeaders');
    exchange.send(responseBody('{"usage":{"prompt_tokens":3,"completion_tokens":1}}', true));
    await exchange.nextBody('responseBody');
    exchange.halfClose();
    expect((await exchange.finished).code).toBe(0);
    expect(picker.picks[0]?.outcomes).toMatchObject([{ kind: 'completed', usage: { promptTokens: 3 } }]);
  });

  it('takes a message above the 4 MiB default of gRPC', async () => {
    const exchange = connectTo(await serve(fakePicker(['10.0.0.1:8000']))).open();
    const large = JSON.stringify({ model: 'm', prompt: 'x'.repeat(6_000_000) });
    exchange.send(requestHeaders({ modes: buffered }));
    await exchange.nextOf('requestHeaders');
    exchange.send(requestBody(large));
    await exchange.nextOf('requestBody');
    exchange.cancel();
  });

  it('echoes a large body while the peer reads slowly', async () => {
    const exchange = connectTo(await serve(fakePicker(['10.0.0.1:8000']))).open();
    const large = Buffer.from(JSON.stringify({ model: 'm', prompt: 'x'.repeat(8_000_000) }));
    exchange.send(requestHeaders({ modes: fullDuplex }));
    for (let at = 0; at < large.length; at += 65_536) {
      exchange.send(requestBody(large.subarray(at, at + 65_536), at + 65_536 >= large.length));
    }
    await exchange.nextOf('requestHeaders');
    expect((await exchange.nextBody('requestBody')).equals(large)).toBe(true);
    exchange.cancel();
  });

  it('gives back the load of a stream that is cut', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    const exchange = connectTo(await serve(picker)).open();
    exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(chatBody));
    await exchange.nextOf('requestHeaders');
    exchange.cancel();
    await expect.poll(() => picker.picks[0]?.outcomes).toEqual([{ kind: 'client_aborted' }]);
  });

  it('gives back the load when it is closed at the deadline', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    const server = await serve(picker);
    const exchange = connectTo(server).open();
    exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(chatBody));
    await exchange.nextOf('requestHeaders');
    await server.close(20);
    await expect.poll(() => picker.picks[0]?.outcomes).toEqual([{ kind: 'cut_at_shutdown' }]);
  });

  it('makes its own certificate', async () => {
    const server = await serve(fakePicker(['10.0.0.1:8000']), { mode: 'self-signed' });
    const exchange = connectTo(server, true).open();
    exchange.send(requestHeaders({ modes: fullDuplex })).send(requestBody(chatBody));
    await exchange.nextOf('requestHeaders');
    exchange.cancel();
  });

  it('takes a certificate from files, and the next one when they change', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pointsman-tls-'));
    closers.push(() => rm(folder, { recursive: true }));
    const [cert, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
    const write = async (commonName: string) => {
      const made = await generate([{ name: 'commonName', value: commonName }], {
        keyType: 'ec',
        algorithm: 'sha256',
      });
      await Promise.all([writeFile(cert, made.cert), writeFile(key, made.private)]);
    };
    await write('first');
    const { CertificateFiles } = await import('../../src/ext-proc/certificate-files.ts');
    const files = await CertificateFiles.open(cert, key, silentLog);
    const seen: (Buffer | undefined)[] = [];
    const listener = (update: { certificate: Buffer } | null) => void seen.push(update?.certificate);
    files.addIdentityCertificateListener(listener);
    await writeFile(key, 'broken');
    await files.reload();
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toHaveLength(1);
    await write('second');
    await files.reload();
    expect(seen).toHaveLength(2);
    files.removeIdentityCertificateListener(listener);

    const server = await serve(fakePicker([]), { mode: 'files', cert, key });
    expect(await commonNameAt(server.port)).toBe('second');
    await expect(serve(fakePicker([]), { mode: 'files', cert: key, key })).rejects.toThrow(/PEM certificate/);
  });

  it('says which address it could not listen on', async () => {
    const server = await serve(fakePicker([]));
    const again = serveHealth({
      host: '127.0.0.1',
      port: server.port,
      isReady: () => true,
      isAlive: () => true,
    });
    await expect(again).rejects.toThrow(`Cannot listen on 127.0.0.1:${server.port}.`);
  });

  it('answers health on the same port', async () => {
    const server = await serve(fakePicker([]));
    const client = connectTo(server);
    expect(await client.health('readiness')).toBe('SERVING');
    expect(await client.health('elsewhere')).toBe('NOT_FOUND');
    expect((await client.listHealth())['liveness']).toEqual({ status: 'SERVING' });
    const watch = client.watchHealth('elsewhere');
    await expect.poll(() => watch.statuses).toEqual(['SERVICE_UNKNOWN']);
    // A watch that is open does not hold the stop up to its deadline, which is beyond the test's.
    await server.close(600_000);
  });
});

function commonNameAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false },
      () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      },
    );
    socket.on('error', reject);
  });
}
