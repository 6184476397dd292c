import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameType } from '../../src/http2/frame.ts';
import { defaultLimits } from '../../src/http2/limits.ts';
import { Output } from '../../src/http2/output.ts';

/** A socket that takes bytes when it is let: until then it holds a view of the writer's memory, as a real one does. */
class LateSocket extends Duplex {
  readonly taken: Buffer[] = [];
  readonly memories = new Set<ArrayBufferLike>();
  isLate = false;
  #take = (): void => {};

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#take = () => {
      this.taken.push(Buffer.from(chunk));
      this.memories.add(chunk.buffer);
      this.#take = () => {};
      done();
    };
    if (!this.isLate) this.#take();
  }

  catchUp(): void {
    this.isLate = false;
    this.#take();
  }
}

const frameOf = (id: number, bytes: Buffer): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, bytes]);
};

const step = fc.oneof(
  fc.record({ kind: fc.constant('frame' as const), bytes: fc.nat(16_384) }),
  fc.constant({ kind: 'flush' as const }),
  fc.constant({ kind: 'late' as const }),
  fc.constant({ kind: 'take' as const }),
);

it('writes over nothing that the socket still holds', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
      const socket = new LateSocket();
      const output = new Output(socket, defaultLimits);
      const expected: Buffer[] = [];
      output.hold();
      for (const [at, each] of steps.entries()) {
        if (each.kind === 'flush') output.flush();
        else if (each.kind === 'late') socket.isLate = true;
        else if (each.kind === 'take') socket.catchUp();
        else {
          const bytes = Buffer.alloc(each.bytes, at + 1);
          output.frame(FrameType.Data, 0, at, bytes.length);
          output.bytes(bytes);
          expected.push(frameOf(at, bytes));
        }
      }
      output.flush();
      socket.catchUp();
      expect(Buffer.concat(socket.taken).equals(Buffer.concat(expected))).toBe(true);
    }),
  );
});

it('fills one piece of memory again and again while the socket takes all', () => {
  const socket = new LateSocket();
  const output = new Output(socket, defaultLimits);
  const bytes = Buffer.alloc(10_000, 7);
  for (let i = 0; i < 100; i++) {
    output.hold();
    output.frame(FrameType.Data, 0, 1, bytes.length);
    output.bytes(bytes);
    output.release();
  }
  expect(socket.taken).toHaveLength(100);
  expect(socket.memories.size).toBe(1);
});
