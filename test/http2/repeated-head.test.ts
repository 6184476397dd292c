import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { defaultLimits, Http2Server } from '../../src/http2/index.ts';
import { frame, RawClient } from './raw-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function pathsOf(...blocks: readonly string[]): Promise<{ paths: string[]; client: RawClient }> {
  const paths: string[] = [];
  const http2 = new Http2Server({
    tls: undefined,
    limits: defaultLimits,
    clock: () => performance.now(),
    onViolation: () => {},
    onRequest: (_stream, head) => {
      paths.push(head.path);
      return undefined;
    },
  });
  await new Promise<void>((resolve) => http2.server.listen(0, '127.0.0.1', resolve));
  const client = new RawClient((http2.server.address() as AddressInfo).port).open(
    ...blocks.map((block, at) => frame(1, 5, 2 * at + 1, block)),
    frame(6, 0, 0, '0102030405060708'),
  );
  closers.push(
    () => client.close(),
    () => http2.close(0),
  );
  return { paths, client };
}

// :method POST and :scheme http by index; then :path by name, or as the newest entry of the dynamic table.
const inserts = (path: string) =>
  `838644${Buffer.from([path.length]).toString('hex')}${Buffer.from(path).toString('hex')}`;
const newest = '8386be';

it('reads the same block again, until the dynamic table says something else', async () => {
  const { paths, client } = await pathsOf(
    inserts('/a'),
    newest,
    newest,
    inserts('/b'),
    newest,
    newest,
    // The entry before the newest.
    '8386bf',
    newest,
  );
  await expect.poll(() => client.hasPong()).toBe(true);
  expect(paths).toEqual(['/a', '/a', '/a', '/b', '/b', '/b', '/a', '/b']);
});

it('forgets the block with the entries that a smaller table loses', async () => {
  // A table size of 0 in front of :path /.
  const { paths, client } = await pathsOf(inserts('/a'), newest, newest, '20838684', newest);
  await expect.poll(() => client.goaways()).toEqual([9]);
  expect(paths).toEqual(['/a', '/a', '/a', '/']);
});
