import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EchoServer, echoServer } from './echo-server.ts';
import { fields, frame, message, ping, RawClient, request, settings, uint32 } from './raw-client.ts';

/**
 * Every case of h2spec 2.6 for a server, under the number that h2spec gives it: suite/section/place. Its
 * sections are those of RFC 7540 and RFC 7541. Where h2spec takes several answers, ours is named.
 */

const code = {
  protocol: 1,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  compression: 9,
} as const;

let server: EchoServer;
let client: RawClient;
beforeAll(async () => {
  server = await echoServer({ maxConcurrentStreams: 100 });
});
afterAll(() => server.close());
afterEach(() => client.close());

type Expectation = () => Promise<void>;
type Case = readonly [name: string, expected: Expectation, parts: readonly Uint8Array[]];

/** The connection goes on: a PING behind the rest is answered, and nothing was refused. */
const accepted: Expectation = async () => {
  client.send(ping);
  await expect.poll(() => client.hasPong()).toBe(true);
  expect(client.goaways()).toEqual([]);
};
/** Stream 1 gets its response. */
const answered: Expectation = async () => {
  await expect.poll(() => client.of(1).map(({ id }) => id)).toContain(1);
  expect(client.goaways()).toEqual([]);
};
const closed: Expectation = () => expect.poll(() => client.isClosed).toBe(true);
const connectionError =
  (expected: number): Expectation =>
  async () => {
    await expect.poll(() => client.goaways()).toEqual([expected]);
    await closed();
  };
const streamError =
  (expected: number, id = 1): Expectation =>
  async () => {
    await expect.poll(() => client.resets()).toContainEqual([id, expected]);
    await accepted();
  };
/** So many bytes of data come on stream 1, and no more. */
const dataOf =
  (bytes: number): Expectation =>
  async () => {
    await expect.poll(dataBytes).toBe(bytes);
    await accepted();
    expect(dataBytes()).toBe(bytes);
  };

function dataBytes(): number {
  return client.of(0).reduce((sum, { payload }) => sum + payload.length, 0);
}

const block = fields(...request);
const open = (id = 1) => frame(1, 4, id, block);
const openAndEnd = (id = 1) => frame(1, 5, id, block);
const with_ = (...pairs: readonly (readonly [string, string])[]) => frame(1, 5, 1, fields(...pairs));
const echoed = message(Buffer.from('hello'));
const initialWindow = (bytes: number) => settings(`0004${bytes.toString(16).padStart(8, '0')}`);
/** The peer has ended stream 1, and we cannot: the response waits for its window. */
const halfClosed = [initialWindow(0), open(), frame(0, 1, 1, echoed)];
const reset = frame(3, 0, 1, '00000008');
const priority = (id: number, dependency: string, weight: string) => frame(2, 0, id, dependency + weight);
const hex = (text: string) => Buffer.from(text, 'hex');
const withField = (representation: string) => frame(1, 5, 1, Buffer.concat([block, hex(representation)]));
const pushPromise = frame(5, 4, 1, '00000002');

const generic: readonly Case[] = [
  ['generic/1/1 the preface', () => expect.poll(() => client.frames[0]?.type).toBe(4), []],
  ['generic/2/1 PRIORITY on an idle stream', accepted, [priority(1, '00000000', 'ff')]],
  [
    'generic/2/2 WINDOW_UPDATE on a half-closed stream',
    dataOf(1),
    [...halfClosed, frame(8, 0, 1, uint32(1))],
  ],
  [
    'generic/2/3 PRIORITY on a half-closed stream',
    dataOf(1),
    [...halfClosed, priority(1, '00000000', 'ff'), frame(8, 0, 1, uint32(1))],
  ],
  ['generic/2/4 RST_STREAM on a half-closed stream', accepted, [...halfClosed, reset]],
  ['generic/2/5 PRIORITY on a closed stream', accepted, [openAndEnd(), priority(1, '00000000', 'ff')]],
  ['generic/3.1/1 DATA', answered, [open(), frame(0, 1, 1, echoed)]],
  ['generic/3.1/2 several DATA', answered, [open(), frame(0, 0, 1, echoed), frame(0, 1, 1, echoed)]],
  [
    'generic/3.1/3 DATA with padding',
    dataOf(echoed.length),
    [open(), frame(0, 9, 1, Buffer.concat([hex('06'), echoed, Buffer.alloc(6)]))],
  ],
  ['generic/3.2/1 HEADERS', answered, [openAndEnd()]],
  [
    'generic/3.2/2 HEADERS with padding',
    answered,
    [frame(1, 5 | 8, 1, Buffer.concat([hex('06'), block, Buffer.alloc(6)]))],
  ],
  [
    'generic/3.2/3 HEADERS with a priority',
    answered,
    [frame(1, 5 | 0x20, 1, Buffer.concat([hex('00000000ff'), block]))],
  ],
  ['generic/3.3/1 PRIORITY of weight 1', answered, [priority(1, '00000000', '00'), openAndEnd()]],
  ['generic/3.3/2 PRIORITY of weight 256', answered, [priority(1, '00000000', 'ff'), openAndEnd()]],
  ['generic/3.3/3 PRIORITY with a dependency', answered, [priority(3, '00000001', '00'), openAndEnd()]],
  ['generic/3.3/4 PRIORITY, exclusive', answered, [priority(1, '80000000', '00'), openAndEnd()]],
  [
    'generic/3.3/5 HEADERS on a stream below a PRIORITY',
    answered,
    [priority(3, '00000000', 'ff'), openAndEnd()],
  ],
  ['generic/3.4/1 RST_STREAM', accepted, [open(), reset]],
  ['generic/3.5/1 SETTINGS', () => expect.poll(acknowledgements).toBe(2), [settings('000300000064')]],
  ['generic/3.7/1 PING', accepted, []],
  [
    'generic/3.8/1 GOAWAY',
    closed,
    [frame(7, 0, 0, `0000000000000000${Buffer.from('h2spec').toString('hex')}`)],
  ],
  ['generic/3.9/1 WINDOW_UPDATE on the connection', accepted, [frame(8, 0, 0, uint32(1))]],
  ['generic/3.9/2 WINDOW_UPDATE on a stream', answered, [open(), frame(8, 0, 1, uint32(1)), frame(0, 1, 1)]],
  [
    'generic/3.10/1 CONTINUATION',
    answered,
    [frame(1, 1, 1, block.subarray(0, 9)), frame(9, 4, 1, block.subarray(9))],
  ],
  [
    'generic/3.10/2 several CONTINUATION',
    answered,
    [
      frame(1, 1, 1, block.subarray(0, 9)),
      frame(9, 0, 1, block.subarray(9, 20)),
      frame(9, 0, 1),
      frame(9, 4, 1, block.subarray(20)),
    ],
  ],
  ['generic/4/1 GET', answered, [with_([':method', 'GET'], ...request.slice(1))]],
  ['generic/4/2 HEAD', answered, [with_([':method', 'HEAD'], ...request.slice(1))]],
  ['generic/4/3 POST', answered, [open(), frame(0, 1, 1, echoed)]],
  [
    'generic/4/4 POST with trailers',
    dataOf(echoed.length),
    [
      frame(1, 4, 1, fields(...request, ['trailer', 'x-test'])),
      frame(0, 0, 1, echoed),
      with_(['x-test', 'ok']),
    ],
  ],
  ['generic/5/1 indexed', answered, [withField('ba')]],
  ['generic/5/2 incremental, Huffman name', answered, [withField('4087b505b161cc5a93849c48aca4')]],
  ['generic/5/3 incremental, plain name', answered, [withField('400a757365722d6167656e7406683273706563')]],
  ['generic/5/4 incremental, new name', answered, [withField('4006782d7465737406683273706563')]],
  ['generic/5/5 incremental, new Huffman name', answered, [withField('4085f2b24a84ff849c48aca4')]],
  [
    'generic/5/6 without indexing, plain name',
    answered,
    [withField('000a757365722d6167656e7406683273706563')],
  ],
  ['generic/5/7 without indexing, Huffman name', answered, [withField('0087b505b161cc5a93849c48aca4')]],
  ['generic/5/8 without indexing, new name', answered, [withField('0006782d7465737406683273706563')]],
  ['generic/5/9 without indexing, new Huffman name', answered, [withField('0085f2b24a84ff849c48aca4')]],
  ['generic/5/10 never indexed, plain name', answered, [withField('100a757365722d6167656e7406683273706563')]],
  ['generic/5/11 never indexed, Huffman name', answered, [withField('1087b505b161cc5a93849c48aca4')]],
  ['generic/5/12 never indexed, new name', answered, [withField('1006782d7465737406683273706563')]],
  ['generic/5/13 never indexed, new Huffman name', answered, [withField('1085f2b24a84ff849c48aca4')]],
  ['generic/5/14 a table size update', answered, [frame(1, 5, 1, Buffer.concat([hex('3f61'), block]))]],
  [
    'generic/5/15 two table size updates',
    answered,
    [frame(1, 5, 1, Buffer.concat([hex('3f613fe11f'), block]))],
  ],
];

const http2: readonly Case[] = [
  ['http2/3.5/1 the preface', () => expect.poll(() => client.frames[0]?.type).toBe(4), []],
  ['http2/4.1/1 a frame of unknown type', accepted, [frame(0x16, 0, 0, '0000000000000000')]],
  ['http2/4.1/2 an undefined flag', accepted, [frame(6, 0x16, 0, '0102030405060708')]],
  ['http2/4.1/3 the reserved bit', accepted, [frame(6, 0, 0x8000_0000, '0102030405060708')]],
  ['http2/4.2/1 DATA of 2^14 bytes', answered, [open(), frame(0, 1, 1, message(Buffer.alloc(16_379)))]],
  [
    'http2/4.2/2 DATA over the limit',
    connectionError(code.frameSize),
    [open(), frame(0, 0, 1, Buffer.alloc(16_385))],
  ],
  [
    'http2/4.2/3 HEADERS over the limit',
    connectionError(code.frameSize),
    [frame(1, 5, 1, Buffer.alloc(16_385))],
  ],
  ['http2/4.3/1 a block that cannot be decoded', connectionError(code.compression), [frame(1, 5, 1, '40')]],
  [
    'http2/4.3/2 PRIORITY inside a block',
    connectionError(code.protocol),
    [frame(1, 1, 1, block), priority(1, '00000000', 'ff'), frame(9, 4, 1)],
  ],
  [
    'http2/4.3/3 HEADERS of another stream inside a block',
    connectionError(code.protocol),
    [frame(1, 1, 1, block), openAndEnd(3)],
  ],
  ['http2/5.1/1 idle: DATA', connectionError(code.protocol), [frame(0, 1, 1, '74657374')]],
  ['http2/5.1/2 idle: RST_STREAM', connectionError(code.protocol), [reset]],
  ['http2/5.1/3 idle: WINDOW_UPDATE', connectionError(code.protocol), [frame(8, 0, 1, uint32(100))]],
  ['http2/5.1/4 idle: CONTINUATION', connectionError(code.protocol), [frame(9, 4, 1, block)]],
  [
    'http2/5.1/5 half-closed: DATA',
    streamError(code.streamClosed),
    [...halfClosed, frame(0, 1, 1, '74657374')],
  ],
  ['http2/5.1/6 half-closed: HEADERS', streamError(code.streamClosed), [...halfClosed, openAndEnd()]],
  [
    'http2/5.1/7 half-closed: CONTINUATION',
    connectionError(code.protocol),
    [...halfClosed, frame(9, 4, 1, block)],
  ],
  [
    'http2/5.1/8 closed by RST_STREAM: DATA',
    connectionError(code.streamClosed),
    [open(), reset, frame(0, 1, 1, '74657374')],
  ],
  [
    'http2/5.1/9 closed by RST_STREAM: HEADERS',
    connectionError(code.streamClosed),
    [open(), reset, openAndEnd()],
  ],
  [
    'http2/5.1/10 closed by RST_STREAM: CONTINUATION',
    connectionError(code.protocol),
    [open(), reset, frame(9, 4, 1, block)],
  ],
  [
    'http2/5.1/11 closed: DATA',
    connectionError(code.streamClosed),
    [openAndEnd(), frame(0, 1, 1, '74657374')],
  ],
  ['http2/5.1/12 closed: HEADERS', connectionError(code.streamClosed), [openAndEnd(), openAndEnd()]],
  [
    'http2/5.1/13 closed: CONTINUATION',
    connectionError(code.protocol),
    [openAndEnd(), frame(9, 4, 1, block)],
  ],
  ['http2/5.1.1/1 an even stream', connectionError(code.protocol), [openAndEnd(2)]],
  ['http2/5.1.1/2 a stream below the last', connectionError(code.protocol), [openAndEnd(5), openAndEnd(3)]],
  [
    'http2/5.1.2/1 streams over the announced number',
    streamError(code.refused, 201),
    Array.from({ length: 101 }, (_, i) => open(2 * i + 1)),
  ],
  [
    'http2/5.3.1/1 HEADERS that depend on their own stream',
    connectionError(code.protocol),
    [frame(1, 5 | 0x20, 1, Buffer.concat([hex('00000001ff'), block]))],
  ],
  [
    'http2/5.3.1/2 PRIORITY that depends on its own stream',
    connectionError(code.protocol),
    [priority(2, '00000002', 'ff')],
  ],
  ['http2/5.4.1/1 an error closes the connection', closed, [frame(6, 0, 3, '0102030405060708')]],
  [
    'http2/5.4.1/2 an error is told by GOAWAY',
    connectionError(code.protocol),
    [frame(6, 0, 3, '0102030405060708')],
  ],
  ['http2/5.5/1 an extension frame', accepted, [frame(0xff, 1, 0, Buffer.from('extension'))]],
  [
    'http2/5.5/2 an extension frame inside a block',
    connectionError(code.protocol),
    [frame(1, 1, 1, block), frame(0xff, 1, 0, Buffer.from('extension'))],
  ],
  ['http2/6.1/1 DATA on stream 0', connectionError(code.protocol), [frame(0, 1, 0, '74657374')]],
  [
    'http2/6.1/2 DATA on a stream that is not open',
    streamError(code.streamClosed),
    [...halfClosed, frame(0, 1, 1, '00')],
  ],
  [
    'http2/6.1/3 DATA with wrong padding',
    connectionError(code.protocol),
    [open(), frame(0, 9, 1, '0674657374')],
  ],
  [
    'http2/6.2/1 PRIORITY behind HEADERS that go on',
    connectionError(code.protocol),
    [frame(1, 1, 1, block), priority(1, '00000000', 'ff')],
  ],
  [
    'http2/6.2/2 HEADERS of another stream behind HEADERS that go on',
    connectionError(code.protocol),
    [frame(1, 0, 1, block), openAndEnd(3)],
  ],
  ['http2/6.2/3 HEADERS on stream 0', connectionError(code.protocol), [openAndEnd(0)]],
  [
    'http2/6.2/4 HEADERS with wrong padding',
    connectionError(code.protocol),
    [frame(1, 5 | 8, 1, Buffer.concat([Buffer.from([block.length + 1]), block]))],
  ],
  ['http2/6.3/1 PRIORITY on stream 0', connectionError(code.protocol), [priority(0, '00000000', 'ff')]],
  ['http2/6.3/2 PRIORITY of 4 bytes', connectionError(code.frameSize), [open(), priority(1, '80000001', '')]],
  ['http2/6.4/1 RST_STREAM on stream 0', connectionError(code.protocol), [frame(3, 0, 0, '00000008')]],
  ['http2/6.4/2 RST_STREAM on an idle stream', connectionError(code.protocol), [reset]],
  ['http2/6.4/3 RST_STREAM of 3 bytes', connectionError(code.frameSize), [open(), frame(3, 0, 1, '000000')]],
  ['http2/6.5/1 an acknowledgement with a payload', connectionError(code.frameSize), [frame(4, 1, 0, '00')]],
  ['http2/6.5/2 SETTINGS on a stream', connectionError(code.protocol), [frame(4, 0, 1, '000300000064')]],
  ['http2/6.5/3 SETTINGS of 3 bytes', connectionError(code.frameSize), [settings('000300')]],
  ['http2/6.5.2/1 ENABLE_PUSH of 2', connectionError(code.protocol), [settings('000200000002')]],
  [
    'http2/6.5.2/2 INITIAL_WINDOW_SIZE of 2^31',
    connectionError(code.flowControl),
    [settings('000480000000')],
  ],
  ['http2/6.5.2/3 MAX_FRAME_SIZE of 2^14 - 1', connectionError(code.protocol), [settings('000500003fff')]],
  ['http2/6.5.2/4 MAX_FRAME_SIZE of 2^24', connectionError(code.protocol), [settings('000501000000')]],
  ['http2/6.5.2/5 an unknown setting', accepted, [settings('00ff00000001')]],
  [
    'http2/6.5.3/1 the last of several INITIAL_WINDOW_SIZE holds',
    dataOf(1),
    [settings('000400000064000400000001'), open(), frame(0, 1, 1, echoed)],
  ],
  [
    'http2/6.5.3/2 SETTINGS are acknowledged',
    () => expect.poll(acknowledgements).toBe(2),
    [settings('000200000000')],
  ],
  ['http2/6.7/1 PING', () => expect.poll(pongs).toEqual(['0102030405060708']), [ping]],
  [
    'http2/6.7/2 PING with ACK is not answered',
    () => expect.poll(pongs).toEqual(['0102030405060708']),
    [frame(6, 1, 0, '696e76616c696400'), ping],
  ],
  ['http2/6.7/3 PING on a stream', connectionError(code.protocol), [frame(6, 0, 1, '0000000000000000')]],
  ['http2/6.7/4 PING of 6 bytes', connectionError(code.frameSize), [frame(6, 0, 0, '000000000000')]],
  ['http2/6.8/1 GOAWAY on a stream', connectionError(code.protocol), [frame(7, 0, 1, '0000000000000000')]],
  ['http2/6.9/1 WINDOW_UPDATE of 0', connectionError(code.protocol), [frame(8, 0, 0, uint32(0))]],
  [
    'http2/6.9/2 WINDOW_UPDATE of 0 on a stream',
    streamError(code.protocol),
    [open(), frame(8, 0, 1, uint32(0))],
  ],
  ['http2/6.9/3 WINDOW_UPDATE of 3 bytes', connectionError(code.frameSize), [frame(8, 0, 0, '000001')]],
  ['http2/6.9.1/1 a window of 1', dataOf(1), [initialWindow(1), open(), frame(0, 1, 1, echoed)]],
  [
    'http2/6.9.1/2 a connection window over 2^31 - 1',
    connectionError(code.flowControl),
    [frame(8, 0, 0, '7fffffff'), frame(8, 0, 0, '7fffffff')],
  ],
  [
    'http2/6.9.1/3 a stream window over 2^31 - 1',
    streamError(code.flowControl),
    [open(), frame(8, 0, 1, '7fffffff'), frame(8, 0, 1, '7fffffff')],
  ],
  ['http2/6.9.2/1 INITIAL_WINDOW_SIZE changes behind HEADERS', dataOf(1), [...halfClosed, initialWindow(1)]],
  [
    'http2/6.9.2/2 a window below zero',
    dataOf(4),
    [initialWindow(3), open(), frame(0, 1, 1, echoed), initialWindow(2), frame(8, 0, 1, uint32(2))],
  ],
  [
    'http2/6.9.2/3 INITIAL_WINDOW_SIZE of 2^31',
    connectionError(code.flowControl),
    [settings('000480000000')],
  ],
  [
    'http2/6.10/1 several CONTINUATION',
    answered,
    [
      frame(1, 1, 1, block.subarray(0, 9)),
      frame(9, 0, 1, block.subarray(9, 20)),
      frame(9, 4, 1, block.subarray(20)),
    ],
  ],
  [
    'http2/6.10/2 CONTINUATION, then another frame',
    connectionError(code.protocol),
    [frame(1, 1, 1, block.subarray(0, 9)), frame(9, 0, 1, block.subarray(9)), frame(0, 1, 1, '74657374')],
  ],
  [
    'http2/6.10/3 CONTINUATION on stream 0',
    connectionError(code.protocol),
    [frame(1, 1, 1, block.subarray(0, 9)), frame(9, 4, 0, block.subarray(9))],
  ],
  [
    'http2/6.10/4 CONTINUATION behind a whole HEADERS',
    connectionError(code.protocol),
    [open(), frame(9, 4, 1, block)],
  ],
  [
    'http2/6.10/5 CONTINUATION behind the last CONTINUATION',
    connectionError(code.protocol),
    [frame(1, 0, 1, block.subarray(0, 9)), frame(9, 4, 1, block.subarray(9)), frame(9, 4, 1, block)],
  ],
  [
    'http2/6.10/6 CONTINUATION behind DATA',
    connectionError(code.protocol),
    [open(), frame(0, 0, 1, echoed), frame(9, 4, 1, block)],
  ],
  ['http2/7/1 GOAWAY with an unknown code', closed, [frame(7, 0, 0, '00000000000000ff')]],
  ['http2/7/2 RST_STREAM with an unknown code', accepted, [open(), frame(3, 0, 1, '000000ff')]],
  ['http2/8.1/1 HEADERS again, without END_STREAM', streamError(code.protocol), [open(), open()]],
  ['http2/8.1.2/1 a name in upper case', streamError(code.protocol), [with_(...request, ['X-TEST', 'ok'])]],
  [
    'http2/8.1.2.1/1 an unknown pseudo-header',
    streamError(code.protocol),
    [with_(...request, [':test', 'ok'])],
  ],
  [
    'http2/8.1.2.1/2 a pseudo-header of responses',
    streamError(code.protocol),
    [with_(...request, [':status', '200'])],
  ],
  [
    'http2/8.1.2.1/3 a pseudo-header in trailers',
    streamError(code.protocol),
    [open(), with_([':method', 'GET'])],
  ],
  [
    'http2/8.1.2.1/4 a pseudo-header behind others',
    streamError(code.protocol),
    [with_(['x-test', 'ok'], ...request)],
  ],
  [
    'http2/8.1.2.2/1 a field of the connection',
    streamError(code.protocol),
    [with_(...request, ['connection', 'keep-alive'])],
  ],
  [
    'http2/8.1.2.2/2 TE other than trailers',
    streamError(code.protocol),
    [with_(...request, ['te', 'trailers, deflate;q=0.5'])],
  ],
  [
    'http2/8.1.2.3/1 an empty :path',
    streamError(code.protocol),
    [with_(request[0], request[1], [':path', ''], request[3])],
  ],
  ['http2/8.1.2.3/2 no :method', streamError(code.protocol), [with_(...request.slice(1))]],
  ['http2/8.1.2.3/3 no :scheme', streamError(code.protocol), [with_(request[0], request[2], request[3])]],
  ['http2/8.1.2.3/4 no :path', streamError(code.protocol), [with_(request[0], request[1], request[3])]],
  ['http2/8.1.2.3/5 :method twice', streamError(code.protocol), [with_(request[0], ...request)]],
  ['http2/8.1.2.3/6 :scheme twice', streamError(code.protocol), [with_(request[1], ...request)]],
  ['http2/8.1.2.3/7 :path twice', streamError(code.protocol), [with_(request[2], ...request)]],
  [
    'http2/8.1.2.6/1 a content-length other than that of DATA',
    streamError(code.protocol),
    [frame(1, 4, 1, fields(...request, ['content-length', '1'])), frame(0, 1, 1, echoed)],
  ],
  [
    'http2/8.1.2.6/2 a content-length other than that of several DATA',
    streamError(code.protocol),
    [
      frame(1, 4, 1, fields(...request, ['content-length', '11'])),
      frame(0, 0, 1, echoed),
      frame(0, 1, 1, echoed),
    ],
  ],
  ['http2/8.2/1 PUSH_PROMISE', connectionError(code.protocol), [open(), pushPromise]],
];

const hpack: readonly Case[] = [
  ['hpack/2.3.3/1 an index that no table has', connectionError(code.compression), [withField('c6')]],
  [
    'hpack/2.3.3/2 a literal whose name no table has',
    connectionError(code.compression),
    [withField('7f0700')],
  ],
  ['hpack/4.2/1 a table size update behind a field', connectionError(code.compression), [withField('21')]],
  [
    'hpack/5.2/1 Huffman padding of 8 bits',
    connectionError(code.compression),
    [withField('0085f2b24a84ff8449509fff')],
  ],
  [
    'hpack/5.2/2 Huffman padding of zeros',
    connectionError(code.compression),
    [withField('0085f2b24a84ff83495090')],
  ],
  [
    'hpack/5.2/3 the EOS symbol',
    connectionError(code.compression),
    [withField('0085f2b24a84ff874951fffffffa7f')],
  ],
  ['hpack/6.1/1 index 0', connectionError(code.compression), [withField('80')]],
  [
    'hpack/6.3/1 a table size over the announced',
    connectionError(code.compression),
    [frame(1, 5, 1, Buffer.concat([hex('3fe21f'), block]))],
  ],
];

const acknowledgements = () => client.of(4).filter(({ flags }) => flags === 1).length;
const pongs = () =>
  client
    .of(6)
    .filter(({ flags }) => flags === 1)
    .map(({ payload }) => payload.toString('hex'));

describe.each([
  ['generic', generic],
  ['http2', http2],
  ['hpack', hpack],
])('h2spec: %s', (_suite, cases) => {
  it.each(cases)('%s', async (_name, expected, parts) => {
    client = new RawClient(server.port).open(...parts);
    await expected();
  });
});

it('h2spec: http2/3.5/2 a wrong preface', async () => {
  client = new RawClient(server.port).send(Buffer.from('INVALID CONNECTION PREFACE\r\n\r\n'));
  await connectionError(code.protocol)();
});

it('h2spec: nothing of its list is missing here', () => {
  const counts =
    'generic/1:1 generic/2:5 generic/3.1:3 generic/3.2:3 generic/3.3:5 generic/3.4:1 generic/3.5:1 ' +
    'generic/3.7:1 generic/3.8:1 generic/3.9:2 generic/3.10:2 generic/4:4 generic/5:15 ' +
    'http2/3.5:2 http2/4.1:3 http2/4.2:3 http2/4.3:3 http2/5.1:13 http2/5.1.1:2 http2/5.1.2:1 ' +
    'http2/5.3.1:2 http2/5.4.1:2 http2/5.5:2 http2/6.1:3 http2/6.2:4 http2/6.3:2 http2/6.4:3 ' +
    'http2/6.5:3 http2/6.5.2:5 http2/6.5.3:2 http2/6.7:4 http2/6.8:1 http2/6.9:3 http2/6.9.1:3 ' +
    'http2/6.9.2:3 http2/6.10:6 http2/7:2 http2/8.1:1 http2/8.1.2:1 http2/8.1.2.1:4 http2/8.1.2.2:2 ' +
    'http2/8.1.2.3:7 http2/8.1.2.6:2 http2/8.2:1 hpack/2.3.3:2 hpack/4.2:1 hpack/5.2:3 hpack/6.1:1 hpack/6.3:1';
  const listed = counts.split(' ').flatMap((entry) => {
    const [section, count] = entry.split(':');
    return Array.from({ length: Number(count) }, (_, i) => `${section}/${i + 1}`);
  });
  const tested = [...generic, ...http2, ...hpack].map(([name]) => name.split(' ')[0]!);
  expect([...tested, 'http2/3.5/2'].toSorted()).toEqual(listed.toSorted());
});
