import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { describe, expect, it, onTestFinished } from 'vitest';
import { serveExtProc } from '../../src/ext-proc/index.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { fakePicker } from './fakes.ts';

const gRpcResourceExhausted = '8';

async function session(transport: 'fast' | 'grpc-js'): Promise<ClientHttp2Session> {
  const server = await serveExtProc({
    host: '127.0.0.1',
    port: 0,
    picker: fakePicker(['10.0.0.1:8000']),
    log: silentLog,
    tls: { mode: 'off' },
    limits: { maxBodyBytes: 64_000_000, blockTokens: 16, maxPrefixTokens: 4096 },
    isServing: () => true,
    transport,
  });
  const client = connect(`http://${server.address}`, { maxSendHeaderBlockLength: 1 << 20 });
  client.on('error', () => {});
  onTestFinished(async () => {
    client.destroy();
    await server.close(0);
  });
  return client;
}

interface Answer {
  readonly headers: IncomingHttpHeaders | undefined;
  readonly reset: number | undefined;
}

const oneField = (bytes: number) => ({ 'x-metadata': 'm'.repeat(bytes) });

/** A call that the client does not half-close. */
function call(
  client: ClientHttp2Session,
  metadata: Readonly<Record<string, string>>,
  contentType = 'application/grpc',
): Promise<Answer> {
  const stream = client.request({
    ':method': 'POST',
    ':path': '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
    'content-type': contentType,
    te: 'trailers',
    ...metadata,
  });
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders | undefined;
    stream.on('response', (received) => {
      headers = received;
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve({ headers, reset: stream.rstCode }));
    stream.resume();
  });
}

describe('a header list over the limit (RFC 9113, 10.5.1)', () => {
  it.each([70_000, 200_000])('of %d bytes is answered with a gRPC status that says why', async (bytes) => {
    const { headers } = await call(await session('fast'), oneField(bytes));
    expect(headers).toMatchObject({ ':status': 200, 'grpc-status': gRpcResourceExhausted });
    expect(decodeURIComponent(String(headers?.['grpc-message']))).toBe(
      'Expected a header list of at most 65536 bytes, found more.',
    );
  });

  it('is answered with 431 where the client does not speak gRPC', async () => {
    const { headers } = await call(await session('fast'), oneField(70_000), 'text/plain');
    expect(headers).toMatchObject({ ':status': 431 });
  });

  it('leaves the connection to others', async () => {
    const client = await session('fast');
    const ended: number[] = [];
    const calls = [{}, oneField(70_000), {}].map(async (metadata, at) => {
      await call(client, metadata);
      ended.push(at);
    });
    await calls[1];
    expect(await isAlive(client)).toBe(true);
    expect(ended).toEqual([1]);
  });
});

/** Node counts fields, 128 of them; beyond 64 kB as sent it gives up the connection, which no option changes. */
it('the reference library resets the stream of a list with too many fields, which gRPC reads as the same status', async () => {
  const client = await session('grpc-js');
  const fields = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`x-metadata-${at}`, 'm']));
  const { headers, reset } = await call(client, fields);
  expect(headers).toBeUndefined();
  expect(reset).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  expect(await isAlive(client)).toBe(true);
});

function isAlive(client: ClientHttp2Session): Promise<boolean> {
  return new Promise((resolve) => {
    if (client.closed || !client.ping((error) => resolve(error === null))) resolve(false);
  });
}
