import { type AddressInfo, createServer } from 'node:net';

/** Sends back what comes. */
export async function serveEcho(): Promise<{ readonly port: number }> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', (bytes) => socket.write(bytes));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port };
}
