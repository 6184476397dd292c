import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EchoServer, echoServer } from './echo-server.ts';

let certificate: { key: string; cert: string };
let server: EchoServer;
beforeAll(async () => {
  const { private: key, cert } = await generate();
  certificate = { key, cert };
  server = await echoServer({}, 1 << 20, certificate);
});
afterAll(() => server.close());

function handshake(ALPNProtocols: string[]): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port: server.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols,
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

it('3.2 chooses h2, whatever else the peer offers', async () => {
  const socket = await handshake(['http/1.1', 'h2']);
  expect(socket.alpnProtocol).toBe('h2');
  socket.destroy();
});

it('3.2 ends the handshake of a peer that does not offer h2', async () => {
  await expect(handshake(['http/1.1'])).rejects.toThrow(/no application protocol/i);
});

it('serves a real peer over TLS', async () => {
  const session = connectHttp2(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false });
  const stream = session.request({ ':method': 'POST', ':path': '/x', 'content-type': 'application/grpc' });
  const trailers = new Promise((resolve) => stream.once('trailers', resolve));
  stream.resume().end(Buffer.from([0, 0, 0, 0, 1, 7]));
  expect(await trailers).toMatchObject({ 'grpc-status': '0' });
  session.destroy();
});

it('a connection that never begins its handshake does not hold the end of the server', async () => {
  const other = await echoServer({}, 1 << 20, certificate);
  const accepted = new Promise((resolve) => other.server.server.once('connection', resolve));
  const socket = connectTcp(other.port, '127.0.0.1');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await accepted;
  await other.close();
  await closed;
});

it('a connection that never begins its handshake is closed after the time for the preface', async () => {
  const other = await echoServer({ prefaceTimeoutMs: 50 }, 1 << 20, certificate);
  const socket = connectTcp(other.port, '127.0.0.1');
  await new Promise((resolve) => socket.once('close', resolve));
  await other.close();
});
