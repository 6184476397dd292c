import { describe, expect, it } from 'vitest';
import { MemorySocket } from '../../bench/fuzz/memory-socket.ts';
import { Http2Connection } from '../../src/http2/connection.ts';
import type { Http2Stream, StreamHandler } from '../../src/http2/http2-stream.ts';
import { defaultLimits, type Http2Limits } from '../../src/http2/limits.ts';
import {
  type Frame,
  fields,
  frame,
  framesOf,
  ping,
  preface,
  request,
  settings,
  uint32,
} from './raw-client.ts';

const code = { none: 0, protocol: 1, refused: 7, calm: 11 } as const;
const open = (id: number, ...more: readonly (readonly [string, string])[]) =>
  frame(1, 4, id, fields(...request, ...more));

/** A connection whose peer and clock are in our hands. */
function connect(limits: Partial<Http2Limits> = {}) {
  const socket = new MemorySocket();
  const streams: Http2Stream[] = [];
  const events: string[] = [];
  const handler: StreamHandler = {
    onData: () => {},
    onEnd: () => events.push('end'),
    onGone: () => events.push('gone'),
    onDrain: () => events.push('drain'),
  };
  let nowMs = 0;
  const connection = new Http2Connection({
    socket,
    limits: { ...defaultLimits, ...limits },
    clock: () => nowMs,
    onRequest: (stream) => {
      streams.push(stream);
      return handler;
    },
    onClose: (error) => events.push(error === undefined ? 'closed' : 'failed'),
  });
  const receive = (...parts: readonly Uint8Array[]) => socket.receive(Buffer.concat(parts));
  const sent = (type: number): Frame[] =>
    framesOf(Buffer.concat(socket.sent)).frames.filter((each) => each.type === type);
  return {
    connection,
    socket,
    streams,
    events,
    receive,
    sent,
    /** Last stream id and code of each GOAWAY. */
    goaways: () => sent(7).map(({ payload }) => [payload.readUInt32BE(0), payload.readUInt32BE(4)]),
    pings: () => sent(6).filter(({ flags }) => flags === 0),
    later: (ms: number) => {
      nowMs += ms;
      connection.tick(nowMs);
    },
  };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('draining', () => {
  const latest = 0x7fff_ffff;

  it('6.8 tells the peer first, and refuses what comes after it has read that', async () => {
    const { connection, receive, goaways, pings, sent, streams, socket } = connect();
    receive(preface, settings(), open(1));
    connection.drain();
    await settled();
    expect(goaways()).toEqual([[latest, code.none]]);
    receive(open(3));
    expect(streams).toHaveLength(2);
    receive(frame(6, 1, 0, pings()[0]!.payload), open(5));
    await settled();
    expect(goaways()).toEqual([
      [latest, code.none],
      [3, code.none],
    ]);
    expect(sent(3).map(({ id, payload }) => [id, payload.readUInt32BE(0)])).toEqual([[5, code.refused]]);
    for (const stream of streams) stream.reset(code.none);
    expect(socket.writableEnded).toBe(true);
  });

  it('waits no longer than a second for the peer to say that it knows', async () => {
    const { connection, receive, goaways, later, events } = connect();
    receive(preface, settings());
    connection.drain();
    later(1001);
    await settled();
    expect(goaways()).toHaveLength(2);
    expect(events).toEqual(['closed']);
  });

  it('cuts a peer that does not close its side, after a while', () => {
    const { connection, receive, later, socket } = connect();
    receive(preface, settings());
    connection.drain();
    later(1001);
    later(defaultLimits.keepaliveTimeoutMs);
    expect(socket.destroyed).toBe(false);
    later(1);
    expect(socket.destroyed).toBe(true);
  });
});

it('cuts a peer that broke the protocol and does not close its side', async () => {
  const { receive, later, socket, goaways, events } = connect();
  receive(preface, settings(), frame(0, 0, 1, '00'));
  await settled();
  expect(goaways()).toEqual([[0, code.protocol]]);
  expect(socket.writableEnded).toBe(true);
  later(2000);
  expect(socket.destroyed).toBe(false);
  later(1);
  expect(socket.destroyed).toBe(true);
  expect(events).toEqual(['failed']);
});

describe('a peer that does not read', () => {
  it('is not read from until it does', async () => {
    const { receive, socket, streams, sent } = connect({ maxUnsentBytes: 100_000 });
    socket.isStalled = true;
    receive(preface, settings('00047fffffff'), frame(8, 0, 0, uint32(0x7000_0000)), open(1));
    streams[0]!.sendHeaders(fields([':status', '200']));
    streams[0]!.send(Buffer.alloc(200_000), 0, 200_000);
    receive(ping);
    expect(socket.isPaused()).toBe(true);
    socket.unstall();
    await settled();
    expect(socket.isPaused()).toBe(false);
    expect(sent(0).reduce((sum, { payload }) => sum + payload.length, 0)).toBe(200_000);
  });

  it('is cut when it stays so, though it goes on sending', async () => {
    const { receive, socket, streams, later } = connect({ maxUnsentBytes: 10_000 });
    socket.isStalled = true;
    receive(preface, settings(), open(1));
    streams[0]!.sendHeaders(fields([':status', '200']));
    streams[0]!.send(Buffer.alloc(60_000), 0, 60_000);
    receive(ping);
    expect(socket.isPaused()).toBe(true);
    later(defaultLimits.keepaliveMs + 1);
    await settled();
    later(defaultLimits.keepaliveTimeoutMs + 1);
    expect(socket.destroyed).toBe(true);
  });

  it('does not make us keep more than the limit for its windows', async () => {
    const { receive, streams, sent, events } = connect({ maxHeldBytes: 2500 });
    receive(preface, settings('000400000000'), open(1), open(3), open(5));
    const bytes = Buffer.alloc(1000);
    const returned = streams.map((stream) => stream.send(bytes, 0, bytes.length));
    expect(returned).toEqual([false, false, false]);
    expect(events).toEqual([]);
    await settled();
    expect(sent(3).map(({ id, payload }) => [id, payload.readUInt32BE(0)])).toEqual([[5, code.calm]]);
    expect(events).toEqual(['gone']);
    // What a stream kept is free again when it is gone, or sent.
    receive(frame(3, 0, 1, uint32(8)), frame(8, 0, 3, uint32(1000)), open(7));
    streams[3]!.send(bytes, 0, bytes.length);
    streams[3]!.send(bytes, 0, bytes.length);
    await settled();
    expect(sent(3)).toHaveLength(1);
    expect(sent(0).map(({ id }) => id)).toEqual([3]);
  });
});

describe('10.5.1 a header list over the limit', () => {
  const limits = { maxHeaderListBytes: 300 };
  const long = 'v'.repeat(100);
  /** Goes into the table (62 from then on) with its first line, and over the limit with the others. */
  const large = Buffer.concat([
    fields(...request),
    Buffer.from([0x40, 5]),
    Buffer.from('x-big'),
    Buffer.from([long.length]),
    Buffer.from(long),
    Buffer.from([0xbe, 0xbe]),
  ]);

  it('refuses that request alone, and the table stays in step', async () => {
    const { receive, sent, streams, goaways } = connect(limits);
    receive(preface, settings(), frame(1, 4, 1, large));
    // The next request has the large field once, by its index.
    receive(frame(1, 4, 3, Buffer.concat([fields(...request.slice(0, 3)), Buffer.from([0xbe])])));
    await settled();
    // The end of the response, and that no more of the request is wanted (8.1).
    expect(sent(1).map(({ id, flags, payload }) => [id, flags, payload.includes('grpc-status')])).toEqual([
      [1, 5, true],
    ]);
    expect(sent(3).map(({ id, payload }) => [id, payload.readUInt32BE(0)])).toEqual([[1, code.none]]);
    expect(streams.map(({ id }) => id)).toEqual([3]);
    expect(goaways()).toEqual([]);
  });

  it('resets the stream whose trailers they are', async () => {
    const { receive, sent, events, goaways } = connect(limits);
    receive(preface, settings(), open(1), open(3), frame(1, 5, 1, large));
    await settled();
    expect(sent(3).map(({ id, payload }) => [id, payload.readUInt32BE(0)])).toEqual([[1, code.calm]]);
    expect(events).toEqual(['gone']);
    expect(goaways()).toEqual([]);
  });
});

it('a stream that fails when its connection ends does not keep the others from being told', () => {
  const told: string[] = [];
  const socket = new MemorySocket();
  const connection = new Http2Connection({
    socket,
    limits: defaultLimits,
    clock: () => 0,
    onRequest: ({ id }) => ({
      onData: () => {},
      onEnd: () => {},
      onDrain: () => {},
      onGone: () => {
        told.push(`gone ${id}`);
        if (id === 1) throw new Error('oops');
      },
    }),
    onClose: (error) => told.push(error?.message ?? 'closed'),
  });
  socket.receive(Buffer.concat([preface, settings(), open(1), open(3)]));
  connection.destroy();
  expect(told).toEqual(['gone 1', 'gone 3', 'A stream failed: Error: oops']);
});

describe('time', () => {
  it('silence is answered by a PING, and by the end when that stays unanswered', async () => {
    const { receive, later, pings, socket } = connect();
    receive(preface, settings(), open(1));
    later(defaultLimits.keepaliveMs + 1);
    await settled();
    expect(pings()).toHaveLength(1);
    later(defaultLimits.keepaliveTimeoutMs);
    expect(socket.destroyed).toBe(false);
    later(1);
    expect(socket.destroyed).toBe(true);
  });

  it('a connection without streams is drained after the idle time', () => {
    const { receive, later, events } = connect({ idleTimeoutMs: 5000 });
    receive(preface, settings());
    later(5000);
    later(1);
    expect(events).toEqual([]);
    later(1001);
    expect(events).toEqual(['closed']);
  });
});
