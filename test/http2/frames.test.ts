import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EchoServer, echoServer } from './echo-server.ts';
import { fields, frame, message, ping, preface, RawClient, request, settings, uint32 } from './raw-client.ts';

/** Cases that h2spec lists for a server, of RFC 9113 and RFC 7541; the section leads each name. */

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
const trailersWith = (...pairs: readonly (readonly [string, string])[]) => frame(1, 5, 1, fields(...pairs));
const requestWith = (...pairs: readonly (readonly [string, string])[]) => frame(1, 5, 1, fields(...pairs));
const echoed = message(Buffer.from('hello'));

describe('is tolerated', () => {
  const cases: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['4.1 a frame of unknown type', [frame(0x16, 0, 0, '00')]],
    ['4.1 unknown flags', [frame(6, 0xfe, 0, '0102030405060708')]],
    ['4.1 the reserved bit', [frame(6, 0, 0x8000_0000, '0102030405060708')]],
    ['5.1 PRIORITY on an idle stream', [frame(2, 0, 9, '0000000010')]],
    ['6.5 SETTINGS with an unknown identifier', [settings('00ff00000001')]],
    ['6.5.2 SETTINGS several times in one frame', [settings('000300000064000300000032')]],
    ['6.9 WINDOW_UPDATE of a closed stream', [openAndEnd, frame(8, 0, 1, '00000001')]],
    ['5.1 RST_STREAM of a closed stream', [openAndEnd, frame(3, 0, 1, '00000008')]],
    [
      '6.2 HEADERS with padding',
      [frame(1, 4 | 8, 1, Buffer.concat([Buffer.from([3]), fields(...request), Buffer.alloc(3)]))],
    ],
    [
      '6.2 HEADERS with a priority',
      [frame(1, 4 | 0x20, 1, Buffer.concat([Buffer.from('000000000f', 'hex'), fields(...request)]))],
    ],
    ['6.10 a block in three frames', [split(fields(...request))]],
    ['8.1 trailers that end the stream', [open, trailersWith(['x-checksum', '1'])]],
  ];
  it.each(cases)('%s', async (_name, parts) => {
    client = new RawClient(server.port).open(...parts, ping);
    await expect.poll(() => client.hasPong()).toBe(true);
    expect(client.goaways()).toEqual([]);
  });
});

describe('ends the connection', () => {
  const cases: readonly (readonly [string, number, readonly Uint8Array[]])[] = [
    ['4.2 a frame over the limit', connection.frameSize, [frame(0, 0, 1, Buffer.alloc(16_385))]],
    ['4.3 a header block that cannot be decoded', connection.compression, [frame(1, 5, 1, 'ff')]],
    [
      '4.3 another frame inside a header block',
      connection.protocol,
      [frame(1, 0, 1, fields(...request)), ping],
    ],
    ['5.1 DATA on an idle stream', connection.protocol, [frame(0, 0, 1, '00')]],
    ['5.1 RST_STREAM on an idle stream', connection.protocol, [frame(3, 0, 1, '00000008')]],
    ['5.1 WINDOW_UPDATE on an idle stream', connection.protocol, [frame(8, 0, 1, '00000001')]],
    ['5.1 CONTINUATION on an idle stream', connection.protocol, [frame(9, 4, 1, fields(...request))]],
    ['5.1 DATA on a closed stream', connection.streamClosed, [openAndEnd, frame(0, 1, 1, '00')]],
    ['5.1 HEADERS on a closed stream', connection.streamClosed, [openAndEnd, openAndEnd]],
    ['5.1.1 an even stream', connection.protocol, [frame(1, 5, 2, fields(...request))]],
    ['5.3 a stream that depends on itself', connection.protocol, [frame(2, 0, 1, '0000000110')]],
    ['6.1 DATA on stream 0', connection.protocol, [frame(0, 0, 0, '00')]],
    ['6.1 padding longer than the frame', connection.protocol, [open, frame(0, 8, 1, '0500')]],
    ['6.2 HEADERS on stream 0', connection.protocol, [frame(1, 5, 0, fields(...request))]],
    ['6.2 padding longer than the block', connection.protocol, [frame(1, 5 | 8, 1, 'ff00')]],
    ['6.3 PRIORITY on stream 0', connection.protocol, [frame(2, 0, 0, '0000000010')]],
    ['6.3 PRIORITY of 4 bytes', connection.frameSize, [open, frame(2, 0, 1, '00000000')]],
    ['6.4 RST_STREAM on stream 0', connection.protocol, [frame(3, 0, 0, '00000000')]],
    ['6.4 RST_STREAM of 3 bytes', connection.frameSize, [open, frame(3, 0, 1, '000000')]],
    ['6.5 an acknowledgement that is not empty', connection.frameSize, [frame(4, 1, 0, '00')]],
    ['6.5 SETTINGS on a stream', connection.protocol, [frame(4, 0, 1, '000300000064')]],
    ['6.5 SETTINGS of 3 bytes', connection.frameSize, [settings('000300')]],
    ['6.5.2 ENABLE_PUSH of 2', connection.protocol, [settings('000200000002')]],
    ['6.5.2 INITIAL_WINDOW_SIZE over 2^31 - 1', connection.flowControl, [settings('000480000000')]],
    ['6.5.2 MAX_FRAME_SIZE below 16,384', connection.protocol, [settings('000500003fff')]],
    ['6.5.2 MAX_FRAME_SIZE over 2^24 - 1', connection.protocol, [settings('000501000000')]],
    ['6.6 PUSH_PROMISE', connection.protocol, [open, frame(5, 4, 1, '00000002')]],
    ['6.7 PING on a stream', connection.protocol, [frame(6, 0, 1, '0000000000000000')]],
    ['6.7 PING of 6 bytes', connection.frameSize, [frame(6, 0, 0, '000000000000')]],
    ['6.8 GOAWAY on a stream', connection.protocol, [frame(7, 0, 1, '0000000000000000')]],
    ['6.9 WINDOW_UPDATE of 0 on the connection', connection.protocol, [frame(8, 0, 0, '00000000')]],
    ['6.9 WINDOW_UPDATE of 3 bytes', connection.frameSize, [frame(8, 0, 0, '000001')]],
    ['6.9.1 a connection window over 2^31 - 1', connection.flowControl, [frame(8, 0, 0, '7fffffff')]],
    [
      '6.9.2 SETTINGS that lift a stream window over 2^31 - 1',
      connection.flowControl,
      [open, frame(8, 0, 1, '7fff0000'), settings('00047fffffff')],
    ],
    [
      '6.10 CONTINUATION after the end of a block',
      connection.protocol,
      [open, frame(9, 4, 1, fields(['a', 'b']))],
    ],
    [
      '6.10 CONTINUATION of another stream',
      connection.protocol,
      [frame(1, 0, 1, fields(...request)), frame(9, 4, 3, '')],
    ],
    [
      '6.10 CONTINUATION on stream 0',
      connection.protocol,
      [frame(1, 0, 1, fields(...request)), frame(9, 4, 0, '')],
    ],
    ['7541 2.3.3 an index that no table has', connection.compression, [frame(1, 5, 1, 'ff4f')]],
    ['7541 4.2 a table size update behind a field', connection.compression, [frame(1, 5, 1, '8220')]],
    [
      '7541 5.2 Huffman padding longer than 7 bits',
      connection.compression,
      [frame(1, 5, 1, '0085f2b24a84ff84fe')],
    ],
    ['7541 5.2 Huffman padding of zeros', connection.compression, [frame(1, 5, 1, '0082f2b081008100')]],
    ['7541 5.2 the EOS symbol', connection.compression, [frame(1, 5, 1, '0084fffffffc8100')]],
    ['7541 6.1 index 0', connection.compression, [frame(1, 5, 1, '80')]],
    ['7541 6.3 a table size over the announced', connection.compression, [frame(1, 5, 1, '3fe21f')]],
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
    ['8.1 trailers that do not end the stream', protocol, [open, frame(1, 4, 1, fields(['a', 'b']))]],
    ['8.1 pseudo-headers in trailers', protocol, [open, trailersWith([':method', 'POST'])]],
    ['8.2.1 a name in upper case', protocol, [requestWith(...request, ['X-Test', '1'])]],
    ['8.2.1 an empty name', protocol, [requestWith(...request, ['', '1'])]],
    ['8.2.1 a line feed in a value', protocol, [requestWith(...request, ['a', 'b\nc'])]],
    ['8.2.1 a blank around a value', protocol, [requestWith(...request, ['a', ' b'])]],
    ['8.2.2 a field of the connection', protocol, [requestWith(...request, ['connection', 'keep-alive'])]],
    ['8.2.2 TE other than trailers', protocol, [requestWith(...request, ['te', 'trailers, deflate'])]],
    ['8.3 an unknown pseudo-header', protocol, [requestWith(...request, [':test', '1'])]],
    ['8.3 a response pseudo-header', protocol, [requestWith([':status', '200'], ...request)]],
    ['8.3 a pseudo-header behind a regular field', protocol, [requestWith(['a', 'b'], ...request)]],
    ['8.3.1 no :method', protocol, [requestWith(...request.slice(1))]],
    ['8.3.1 no :scheme', protocol, [requestWith(request[0], request[2], request[3])]],
    ['8.3.1 no :path', protocol, [requestWith(request[0], request[1], request[3])]],
    ['8.3.1 an empty :path', protocol, [requestWith(request[0], request[1], [':path', ''])]],
    ['8.3.1 :method twice', protocol, [requestWith(request[0], ...request)]],
    [
      '8.1.1 more body than content-length',
      protocol,
      [frame(1, 4, 1, fields(...request, ['content-length', '1'])), frame(0, 1, 1, echoed)],
    ],
    [
      '8.1.1 less body than content-length',
      protocol,
      [frame(1, 4, 1, fields(...request, ['content-length', '99'])), frame(0, 1, 1, echoed)],
    ],
    ['6.9 WINDOW_UPDATE of 0', protocol, [open, frame(8, 0, 1, '00000000')]],
    ['6.9.1 a stream window over 2^31 - 1', connection.flowControl, [open, frame(8, 0, 1, '7fffffff')]],
  ];
  it.each(cases)('%s', async (_name, code, parts) => {
    client = new RawClient(server.port).open(...parts, ping);
    await expect.poll(() => client.resets()).toContainEqual([1, code]);
    await expect.poll(() => client.hasPong()).toBe(true);
    expect(client.goaways()).toEqual([]);
  });

  it('5.1.2 streams over the announced number', async () => {
    const refused = 7;
    const streams = Array.from({ length: 101 }, (_, i) => frame(1, 4, 2 * i + 1, fields(...request)));
    client = new RawClient(server.port).open(...streams, ping);
    await expect.poll(() => client.resets()).toEqual([[201, refused]]);
    await expect.poll(() => client.hasPong()).toBe(true);
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

function split(block: Buffer): Buffer {
  return Buffer.concat([
    frame(1, 0, 1, block.subarray(0, 10)),
    frame(9, 0, 1, block.subarray(10, 20)),
    frame(9, 4, 1, block.subarray(20)),
  ]);
}
