import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EchoServer, echoServer } from './echo-server.ts';
import { fields, frame, message, ping, preface, RawClient, request, settings, uint32 } from './raw-client.ts';

/** Cases of RFC 9113 and RFC 7541 beside those of h2spec; the section leads each name. */

const connection = {
  protocol: 1,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  compression: 9,
  calm: 11,
} as const;

let server: EchoServer;
let client: RawClient;
beforeAll(async () => {
  server = await echoServer({ maxConcurrentStreams: 100 });
});
afterAll(() => server.close());
afterEach(() => client.close());

const open = frame(1, 4, 1, fields(...request));
const openAndEnd = frame(1, 5, 1, fields(...request));
const requestWith = (...pairs: readonly (readonly [string, string])[]) => frame(1, 5, 1, fields(...pairs));
const echoed = message(Buffer.from('hello'));

describe('is tolerated', () => {
  const cases: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['6.5.2 SETTINGS several times in one frame', [settings('000300000064000300000032')]],
    ['6.9 WINDOW_UPDATE of a closed stream', [openAndEnd, frame(8, 0, 1, '00000001')]],
    ['5.1 RST_STREAM of a closed stream', [openAndEnd, frame(3, 0, 1, '00000008')]],
  ];
  it.each(cases)('%s', async (_name, parts) => {
    client = new RawClient(server.port).open(...parts, ping);
    await expect.poll(() => client.hasPong()).toBe(true);
    expect(client.goaways()).toEqual([]);
  });
});

describe('ends the connection', () => {
  const cases: readonly (readonly [string, number, readonly Uint8Array[]])[] = [
    ['4.3 a header block that cannot be decoded', connection.compression, [frame(1, 5, 1, 'ff')]],
    [
      '4.3 another frame inside a header block',
      connection.protocol,
      [frame(1, 0, 1, fields(...request)), ping],
    ],
    ['6.1 padding longer than the frame', connection.protocol, [open, frame(0, 8, 1, '0500')]],
    ['6.2 padding longer than the block', connection.protocol, [frame(1, 5 | 8, 1, 'ff00')]],
    ['6.9.1 a connection window over 2^31 - 1', connection.flowControl, [frame(8, 0, 0, '7fffffff')]],
    [
      '6.9.2 SETTINGS that lift a stream window over 2^31 - 1',
      connection.flowControl,
      [open, frame(8, 0, 1, '7fff0000'), settings('00047fffffff')],
    ],
    [
      '6.10 CONTINUATION of another stream',
      connection.protocol,
      [frame(1, 0, 1, fields(...request)), frame(9, 4, 3, '')],
    ],
    [
      '7541 5.2 Huffman padding longer than 7 bits',
      connection.compression,
      [frame(1, 5, 1, '0085f2b24a84ff84fe')],
    ],
    ['7541 5.2 Huffman padding of zeros', connection.compression, [frame(1, 5, 1, '0082f2b081008100')]],
    ['7541 5.2 the EOS symbol', connection.compression, [frame(1, 5, 1, '0084fffffffc8100')]],
  ];
  it.each(cases)('%s', async (_name, code, parts) => {
    client = new RawClient(server.port).open(...parts);
    await expect.poll(() => client.goaways()).toEqual([code]);
    await expect.poll(() => client.isClosed).toBe(true);
  });

  it('3.4 a preface of other bytes', async () => {
    client = new RawClient(server.port).send(Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
    await expect.poll(() => client.isClosed).toBe(true);
  });

  it('3.4 a first frame that is not SETTINGS', async () => {
    client = new RawClient(server.port).send(preface, ping);
    await expect.poll(() => client.goaways()).toEqual([connection.protocol]);
  });
});

describe('resets the stream and keeps the connection', () => {
  const protocol = 1;
  const cases: readonly (readonly [string, number, readonly Uint8Array[]])[] = [
    ['8.2.1 an empty name', protocol, [requestWith(...request, ['', '1'])]],
    ['8.2.1 a line feed in a value', protocol, [requestWith(...request, ['a', 'b\nc'])]],
    ['8.2.1 a blank around a value', protocol, [requestWith(...request, ['a', ' b'])]],
    ['8.3 a response pseudo-header', protocol, [requestWith([':status', '200'], ...request)]],
    [
      '8.1.1 less body than content-length',
      protocol,
      [frame(1, 4, 1, fields(...request, ['content-length', '99'])), frame(0, 1, 1, echoed)],
    ],
    ['6.9.1 a stream window over 2^31 - 1', connection.flowControl, [open, frame(8, 0, 1, '7fffffff')]],
  ];
  it.each(cases)('%s', async (_name, code, parts) => {
    client = new RawClient(server.port).open(...parts, ping);
    await expect.poll(() => client.resets()).toContainEqual([1, code]);
    await expect.poll(() => client.hasPong()).toBe(true);
    expect(client.goaways()).toEqual([]);
  });
});

describe('a stream that we have ended', () => {
  it('5.1 may get late frames, also when many others were ended since', async () => {
    const count = 10_002;
    const plain = fields(request[0], request[1], request[2]);
    const streams = Array.from({ length: count }, (_, i) => frame(1, 4, 2 * i + 1, plain));
    client = new RawClient(server.port).open(...streams, frame(0, 0, 1, '00'), frame(1, 5, 3, plain), ping);
    await expect.poll(() => client.hasPong(), { timeout: 20_000 }).toBe(true);
    expect(client.goaways()).toEqual([]);
    expect(client.resets()).toHaveLength(count);
  });
});

describe('flow control', () => {
  it('6.9.2 holds data until the window opens, also when it was below zero', async () => {
    client = new RawClient(server.port).open(settings('000400000003'), open, frame(0, 0, 1, echoed));
    await expect.poll(() => dataBytes()).toBe(3);
    client.send(settings('000400000001'), frame(8, 0, 1, uint32(1)), ping);
    await expect.poll(() => client.hasPong()).toBe(true);
    expect(dataBytes()).toBe(3);
    client.send(frame(8, 0, 1, uint32(100)));
    await expect.poll(() => dataBytes()).toBe(echoed.length);
  });

  it('6.9 gives window back for what it has taken', async () => {
    const piece = Buffer.alloc(16_384);
    const first = Buffer.concat([Buffer.from([0]), uint32(33 * piece.length - 5), piece.subarray(5)]);
    client = new RawClient(server.port).open(open, frame(0, 0, 1, first));
    for (let i = 1; i < 33; i++) client.send(frame(0, 0, 1, piece));
    await expect.poll(() => client.of(8).filter(({ id }) => id === 1).length).toBeGreaterThan(0);
  });

  it('6.9.1 refuses data over the window of a stream', async () => {
    const small = await echoServer({ streamWindowBytes: 1000 });
    try {
      client = new RawClient(small.port).open(open, frame(0, 0, 1, Buffer.alloc(1001)));
      await expect.poll(() => client.resets()).toEqual([[1, connection.flowControl]]);
    } finally {
      await small.close();
    }
  });

  function dataBytes(): number {
    return client.of(0).reduce((sum, { payload }) => sum + payload.length, 0);
  }
});
