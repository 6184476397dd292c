import { afterEach, expect, it } from 'vitest';
import { type EchoServer, echoServer } from './echo-server.ts';
import { fields, frame, message, RawClient, request } from './raw-client.ts';

const refusedStream = 7;
let server: EchoServer;
let client: RawClient;
afterEach(async () => {
  client.close();
  await server.close();
});

const call = (id: number) =>
  Buffer.concat([frame(1, 4, id, fields(...request)), frame(0, 1, id, message(Buffer.from('hello')))]);
/** Streams with an answer, in the order of their first bytes. */
const answers = () => [...new Set(client.of(0).map(({ id }) => id))];
const lastIds = () => client.of(7).map(({ payload }) => payload.readUInt32BE(0));

/** Has served one stream, and is closing. */
async function startDraining(): Promise<{ readonly closed: Promise<void> }> {
  server = await echoServer();
  client = new RawClient(server.port).open(call(1));
  await expect.poll(answers).toEqual([1]);
  const closed = server.server.close(60_000);
  await expect.poll(lastIds).toEqual([0x7fff_ffff]);
  return { closed };
}

it('6.8: a stream that crosses the first GOAWAY is served, and the last GOAWAY names it', async () => {
  const { closed } = await startDraining();
  client.send(call(3));
  await expect.poll(answers).toEqual([1, 3]);
  expect(client.isClosed).toBe(false);
  const [{ payload } = { payload: Buffer.alloc(8) }] = client.of(6);
  client.send(frame(6, 1, 0, payload));
  await expect.poll(lastIds).toEqual([0x7fff_ffff, 3]);
  await closed;
});

it('a peer that has heard finishes what is open, and opens new streams elsewhere', async () => {
  const { closed } = await startDraining();
  const open = frame(1, 4, 3, fields(...request));
  client.send(open, frame(6, 1, 0, client.of(6)[0]!.payload), call(5));
  await expect.poll(() => client.resets()).toEqual([[5, refusedStream]]);
  client.send(frame(0, 1, 3, message(Buffer.from('late'))));
  await expect.poll(answers).toEqual([1, 3]);
  await closed;
});

it('an answer to another PING is not taken for the one that GOAWAY waits for', async () => {
  await startDraining();
  client.send(frame(6, 1, 0, '0000000000000000'), call(3));
  await expect.poll(answers).toEqual([1, 3]);
  expect(lastIds()).toEqual([0x7fff_ffff]);
});
