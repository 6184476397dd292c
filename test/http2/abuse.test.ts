import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type EchoServer, echoServer } from './echo-server.ts';
import { fields, frame, message, ping, preface, RawClient, request, settings, uint32 } from './raw-client.ts';

const calm = 11;
let server: EchoServer;
let client: RawClient;
afterEach(async () => {
  client.close();
  await server.close();
});

const openStream = (id: number) => frame(1, 4, id, fields(...request));
const limits = { controlBurst: 100, controlPerSecond: 1, resetBurst: 100, resetsPerSecond: 1 };

/** One field of 4,000 bytes, which the table keeps, and 1,000 references to it. */
const largeList = Buffer.concat([
  Buffer.from([0x40, 1]),
  Buffer.from('a'),
  Buffer.from([0x7f, 0xa1, 0x1e]),
  Buffer.alloc(4000, 0x61),
  Buffer.alloc(1000, 0xbe),
]);

describe('floods end the connection', () => {
  const floods: readonly (readonly [string, (i: number) => Buffer])[] = [
    ['PING', () => ping],
    ['SETTINGS', () => settings()],
    ['PRIORITY', () => frame(2, 0, 1, '0000000010')],
    ['unknown frames', () => frame(0x20, 0, 0)],
    ['empty DATA', (i) => (i === 0 ? openStream(1) : frame(0, 0, 1))],
    [
      'streams that are opened and reset',
      (i) => Buffer.concat([openStream(2 * i + 1), frame(3, 0, 2 * i + 1, uint32(8))]),
    ],
    ['malformed requests', (i) => frame(1, 5, 2 * i + 1, fields(...request, ['X', '']))],
    ['streams over the limit', (i) => openStream(2 * i + 1)],
  ];
  it.each(floods)('%s', async (_name, make) => {
    server = await echoServer({ ...limits, maxConcurrentStreams: 10 });
    client = new RawClient(server.port).open(...Array.from({ length: 150 }, (_, i) => make(i)));
    await expect.poll(() => client.goaways()).toEqual([calm]);
    await expect.poll(() => server.server.connectionCount).toBe(0);
  });

  it('CONTINUATION without end', async () => {
    server = await echoServer({ maxHeaderBlockBytes: 10_000 });
    client = new RawClient(server.port).open(frame(1, 0, 1, fields(...request)));
    for (let i = 0; i < 11; i++) client.send(frame(9, 0, 1, Buffer.alloc(1000, 0x82)));
    await expect.poll(() => client.goaways()).toEqual([calm]);
  });

  it('small blocks that stand for large lists, one after the other', async () => {
    server = await echoServer(limits);
    const bombs = Array.from({ length: 150 }, (_, i) => frame(1, 5, 2 * i + 1, largeList));
    client = new RawClient(server.port).open(...bombs);
    await expect.poll(() => client.goaways()).toEqual([calm]);
  });

  it('says why in the log', async () => {
    server = await echoServer(limits);
    client = new RawClient(server.port).open(...Array.from({ length: 150 }, () => ping));
    await expect.poll(() => server.violations).toHaveLength(1);
    expect(server.violations[0]).toContain('too many');
  });
});

describe('a peer that does not read', () => {
  it('is told to stop, and what waits for it is bounded', async () => {
    server = await echoServer({ maxQueuedBytes: 64 * 1024, streamWindowBytes: 256 * 1024 });
    client = new RawClient(server.port).open(
      settings('00047fffffff'),
      frame(8, 0, 0, uint32(0x7fff_0000 - 65_535)),
      openStream(1),
    );
    client.pause();
    const piece = message(Buffer.alloc(16_000));
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 200; i++) client.send(frame(0, 0, 1, piece));
    client.send(ping);
    await expect.poll(() => process.memoryUsage().arrayBuffers - before).toBeLessThan(200 * piece.length * 4);
    client.resume();
    // The peer passed the window, and nothing else was lost.
    await expect.poll(() => client.hasPong()).toBe(true);
  });
});

it('a prefix that announces a large message costs little', async () => {
  const maxMessageBytes = 32 << 20;
  server = await echoServer({}, maxMessageBytes);
  const prefixes = Array.from({ length: 200 }, (_, i) => [
    openStream(2 * i + 1),
    frame(0, 0, 2 * i + 1, Buffer.concat([Buffer.from([0]), uint32(maxMessageBytes)])),
  ]);
  const before = process.memoryUsage().arrayBuffers;
  client = new RawClient(server.port).open(...prefixes.flat(), ping);
  await expect.poll(() => client.hasPong()).toBe(true);
  expect(server.server.streamCount).toBe(200);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 << 20);
});

describe('time limits', () => {
  it('closes a connection that never says what it wants', async () => {
    server = await echoServer({ prefaceTimeoutMs: 1 });
    client = new RawClient(server.port).send(preface.subarray(0, 10));
    await expect.poll(() => client.isClosed, { timeout: 5000 }).toBe(true);
  });

  it('pings a silent peer and lets it go when it does not answer', async () => {
    server = await echoServer({ keepaliveMs: 1, keepaliveTimeoutMs: 1 });
    client = new RawClient(server.port).open(openStream(1));
    await expect.poll(() => client.of(6).length, { timeout: 5000 }).toBeGreaterThan(0);
    await expect.poll(() => client.isClosed, { timeout: 5000 }).toBe(true);
  });
});

describe('gRPC framing', () => {
  it('takes a message that comes in many small pieces', async () => {
    server = await echoServer();
    const whole = message(Buffer.from(Array.from({ length: 500_000 }, (_, i) => i % 251)));
    client = new RawClient(server.port).open(
      frame(8, 0, 0, uint32(1 << 24)),
      settings('000400ffffff'),
      openStream(1),
    );
    for (let at = 0; at < whole.length; at += 7001)
      client.send(frame(0, 0, 1, whole.subarray(at, at + 7001)));
    client.send(frame(0, 1, 1));
    await expect.poll(() => client.of(1).some(({ flags }) => flags & 1)).toBe(true);
    expect(Buffer.concat(client.of(0).map(({ payload }) => payload)).equals(whole)).toBe(true);
  });

  it('takes messages cut at every byte', async () => {
    server = await echoServer();
    const whole = Buffer.concat([
      message(Buffer.from('one')),
      message(Buffer.alloc(0)),
      message(Buffer.from('three')),
    ]);
    client = new RawClient(server.port).open();
    for (let cut = 0; cut <= whole.length; cut++) {
      const id = 2 * cut + 1;
      client.send(
        openStream(id),
        frame(0, 0, id, whole.subarray(0, cut)),
        frame(0, 1, id, whole.subarray(cut)),
      );
    }
    await expect.poll(() => client.of(1).filter(({ flags }) => flags & 1).length).toBe(whole.length + 1);
    for (let cut = 0; cut <= whole.length; cut++) {
      const bytes = Buffer.concat(
        client
          .of(0)
          .filter(({ id }) => id === 2 * cut + 1)
          .map(({ payload }) => payload),
      );
      expect(bytes.equals(whole)).toBe(true);
    }
  });

  it.each([
    ['a compressed message', Buffer.from([1, 0, 0, 0, 1, 0]), '12'],
    ['a message over the limit', Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]), '8'],
    ['an end inside a message', Buffer.from([0, 0, 0, 0, 5, 1]), '13'],
  ])('ends the call for %s', async (_name, bytes, status) => {
    server = await echoServer();
    client = new RawClient(server.port).open(openStream(1), frame(0, 1, 1, bytes));
    await expect.poll(() => client.of(1).length).toBe(1);
    expect(client.of(1)[0]!.payload.toString('latin1')).toContain(
      `grpc-status${String.fromCharCode(status.length)}${status}`,
    );
  });

  it('answers what is not gRPC with 415', async () => {
    server = await echoServer();
    client = new RawClient(server.port).open(frame(1, 5, 1, fields(request[0], request[1], request[2])));
    await expect.poll(() => client.of(1).length).toBe(1);
    expect(client.of(1)[0]!.payload.toString('latin1')).toContain('415');
  });
});

it('survives mutated bytes: an error or an answer, and it serves the next peer', async () => {
  server = await echoServer();
  const conversation = Buffer.concat([
    preface,
    settings(),
    openStream(1),
    frame(0, 0, 1, message(Buffer.from('hello'))),
    ping,
    frame(0, 1, 1),
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: preface.length, max: conversation.length - 1 }), fc.nat(255)), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.integer({ min: 1, max: conversation.length }),
      async (changes, cut) => {
        const bytes = Buffer.from(conversation);
        for (const [at, value] of changes) bytes[at] = value;
        client = new RawClient(server.port).send(bytes.subarray(0, cut)).send(bytes.subarray(cut));
        await expect.poll(() => client.frames.length, { interval: 1 }).toBeGreaterThan(0);
        client.close();
      },
    ),
    { numRuns: 300 },
  );
  client = new RawClient(server.port).open(ping);
  await expect.poll(() => client.hasPong()).toBe(true);
});
