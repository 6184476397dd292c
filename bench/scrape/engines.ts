import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { vllmExposition } from './exposition.ts';

/** Stands for many engines, in a process of its own so that its work is not counted: one port each. */
const count = Number(process.argv[2]);
const body = Buffer.from(vllmExposition(40_000, 3));
const models = JSON.stringify({ object: 'list', data: [{ id: 'mini', object: 'model' }] });
const ports: number[] = [];
for (let at = 0; at < count; at++) {
  const server = createServer((request, response) => {
    if (request.url === '/metrics') response.writeHead(200, { 'content-type': 'text/plain' }).end(body);
    else response.writeHead(200, { 'content-type': 'application/json' }).end(models);
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ports.push((server.address() as AddressInfo).port);
}
process.send?.({ ports, bytes: body.length });
process.on('disconnect', () => process.exit(0));
