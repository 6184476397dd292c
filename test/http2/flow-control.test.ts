import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MemorySocket } from '../../bench/fuzz/memory-socket.ts';
import { Http2Connection } from '../../src/http2/connection.ts';
import type { Http2Stream } from '../../src/http2/http2-stream.ts';
import { defaultLimits } from '../../src/http2/limits.ts';
import { fields, frame, framesOf, preface, request, settings, uint32 } from './raw-client.ts';

const streamIds = [1, 3, 5];
const maxWindow = 0x7fff_ffff;
const hex32 = (value: number) => value.toString(16).padStart(8, '0');

function open(limits: Partial<typeof defaultLimits> = {}) {
  const socket = new MemorySocket();
  const streams = new Map<number, Http2Stream>();
  const errors: string[] = [];
  const connection = new Http2Connection({
    socket,
    limits: { ...defaultLimits, ...limits },
    clock: () => 0,
    onRequest: (stream) => {
      streams.set(stream.id, stream);
      return { onData: () => {}, onEnd: () => {}, onGone: () => errors.push('gone'), onDrain: () => {} };
    },
    onClose: (error) => errors.push(String(error)),
  });
  socket.receive(Buffer.concat([preface, settings()]));
  for (const id of streamIds) socket.receive(frame(1, 4, id, fields(...request)));
  for (const stream of streams.values()) stream.sendHeaders(fields([':status', '200']));
  const sent = () => framesOf(Buffer.concat(socket.sent)).frames;
  return { socket, streams, errors, sent, connection };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

const step = fc.oneof(
  fc.record({ kind: fc.constant('send' as const), id: fc.constantFrom(...streamIds), bytes: fc.nat(90_000) }),
  fc.record({
    kind: fc.constant('send parts' as const),
    id: fc.constantFrom(...streamIds),
    bytes: fc.nat(90_000),
    head: fc.nat(40),
    tail: fc.nat(3),
  }),
  fc.record({
    kind: fc.constant('grant' as const),
    id: fc.constantFrom(0, ...streamIds),
    bytes: fc.integer({ min: 1, max: 70_000 }),
  }),
  fc.record({
    kind: fc.constant('initial' as const),
    bytes: fc.constantFrom(0, 1, 100, 16_384, 65_535, 200_000),
  }),
);

it('6.9 never sends more than the windows let through, and all of it in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { socket, streams, sent, errors } = open();
      // The peer's books: what each stream and the connection may still get.
      let initial = 65_535;
      const granted = new Map<number, number>([[0, 65_535], ...streamIds.map((id) => [id, 0] as const)]);
      const wanted = new Map<number, Buffer[]>(streamIds.map((id) => [id, []]));
      const dataOf = (id: number) => sent().filter((each) => each.type === 0 && each.id === id);
      const bytesOf = (id: number) => dataOf(id).reduce((sum, { payload }) => sum + payload.length, 0);
      const grant = (id: number, bytes: number) => {
        granted.set(id, granted.get(id)! + bytes);
        socket.receive(frame(8, 0, id, uint32(bytes)));
      };
      /** More may have been sent than a window that has shrunk since lets through: then nothing more is. */
      let before = new Map<number, number>();
      for (const each of steps) {
        if (each.kind === 'send') {
          const bytes = Buffer.alloc(each.bytes, wanted.get(each.id)!.length);
          wanted.get(each.id)!.push(bytes);
          streams.get(each.id)!.send(bytes, 0, bytes.length);
        } else if (each.kind === 'send parts') {
          const place = wanted.get(each.id)!.length;
          const [head, tail] = [Buffer.alloc(each.head, place + 100), Buffer.alloc(each.tail, place + 200)];
          const body = Buffer.alloc(each.bytes + 4, place);
          const [end, aroundEnd] = [each.bytes + 3, each.head + each.tail];
          const around = Buffer.concat([head, tail, Buffer.alloc(1)]);
          wanted.get(each.id)!.push(head, body.subarray(3, end), tail);
          streams.get(each.id)!.sendAround(around, each.head, aroundEnd, body, 3, end);
        } else if (each.kind === 'grant') grant(each.id, each.bytes);
        else {
          initial = each.bytes;
          socket.receive(settings(`0004${hex32(initial)}`));
        }
        await settled();
        const now = new Map(streamIds.map((id) => [id, bytesOf(id)]));
        for (const id of streamIds) {
          const limit = initial + granted.get(id)!;
          expect(now.get(id)).toBeLessThanOrEqual(Math.max(limit, before.get(id) ?? 0));
        }
        expect([...now.values()].reduce((sum, bytes) => sum + bytes)).toBeLessThanOrEqual(granted.get(0)!);
        before = now;
      }
      for (const id of [0, ...streamIds]) grant(id, maxWindow - granted.get(id)! - (id === 0 ? 0 : initial));
      await settled();
      for (const id of streamIds) {
        const bytes = Buffer.concat(dataOf(id).map(({ payload }) => payload));
        expect(bytes.equals(Buffer.concat(wanted.get(id)!))).toBe(true);
      }
      expect(errors).toEqual([]);
      socket.destroy();
    }),
    { numRuns: 150 },
  );
});

it('6.9 always lets a peer go on that keeps to our windows', async () => {
  const windowBytes = 20_000;
  const piece = fc.record({
    id: fc.constantFrom(...streamIds),
    bytes: fc.nat(16_384 - 256),
    padding: fc.option(fc.nat(255), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 60 }), async (pieces) => {
      const { socket, sent, errors } = open({
        streamWindowBytes: windowBytes,
        connectionWindowBytes: 70_000,
      });
      const used = new Map<number, number>([0, ...streamIds].map((id) => [id, 0]));
      const left = (id: number) =>
        sent()
          .filter((each) => each.type === 8 && each.id === id)
          .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), id === 0 ? 65_535 : windowBytes) -
        used.get(id)!;
      for (const { id, bytes, padding } of pieces) {
        const overhead = padding === undefined ? 0 : padding + 1;
        const payload = Buffer.concat([
          padding === undefined ? Buffer.alloc(0) : Buffer.from([padding]),
          Buffer.alloc(bytes + (padding ?? 0)),
        ]);
        // Half of a window is always free: the other half is given back once it is used.
        expect(Math.min(left(0), left(id))).toBeGreaterThan(0);
        if (payload.length > Math.min(left(0), left(id))) continue;
        socket.receive(frame(0, padding === undefined ? 0 : 8, id, payload));
        for (const each of [0, id]) used.set(each, used.get(each)! + bytes + overhead);
        await settled();
      }
      expect(errors).toEqual([]);
      expect(sent().filter(({ type }) => type === 3 || type === 7)).toEqual([]);
      socket.destroy();
    }),
    { numRuns: 100 },
  );
});
