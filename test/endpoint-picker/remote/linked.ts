import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { EndpointPicker } from '../../../src/endpoint-picker/assignment.ts';
import { maxReplyFrameBytes, maxRequestFrameBytes } from '../../../src/endpoint-picker/remote/frame-kinds.ts';
import { FrameLink } from '../../../src/endpoint-picker/remote/frame-link.ts';
import { PlacingHost } from '../../../src/endpoint-picker/remote/placing-host.ts';
import { RemotePlacer } from '../../../src/endpoint-picker/remote/remote-placer.ts';

/** Two sockets, each giving what the other writes, in pieces of `pieceBytes`. */
export function socketPair(pieceBytes = Number.POSITIVE_INFINITY): readonly [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const end = (other: number): Duplex =>
    new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        for (let at = 0; at < chunk.length; at += pieceBytes)
          ends[other]!.push(chunk.subarray(at, at + pieceBytes));
        done();
      },
      destroy(error, done) {
        if (!ends[other]!.destroyed) ends[other]!.destroy();
        done(error);
      },
    });
  ends.push(end(1), end(0));
  return [ends[0]!, ends[1]!];
}

/** A door's placer in front of a picker, with the whole way between them in memory. */
export function linkTo(
  picker: Pick<EndpointPicker, 'submit'>,
  { fallbacks = 0, pieceBytes }: { readonly fallbacks?: number; readonly pieceBytes?: number } = {},
) {
  const [atDoor, atPicker] = socketPair(pieceBytes);
  const errors: unknown[] = [];
  const hostLink = new FrameLink({
    socket: atPicker,
    maxFrameBytes: maxRequestFrameBytes,
    onFrame: (...frame) => host.onFrame(...frame),
    onClose: (error) => {
      if (error !== undefined) errors.push(error);
      host.close();
    },
  });
  const host = new PlacingHost({ picker, writer: hostLink.writer, fallbacks });
  const doorLink = new FrameLink({
    socket: atDoor,
    maxFrameBytes: maxReplyFrameBytes,
    onFrame: (...frame) => placer.onFrame(...frame),
    onClose: (error) => {
      if (error !== undefined) errors.push(error);
      placer.cutOff();
    },
  });
  const placer = new RemotePlacer(doorLink.writer, () => doorLink.unsentBytes);
  return {
    placer,
    host,
    doorLink,
    hostLink,
    /** Faults of the links themselves. */
    errors,
    /** Until what was written has crossed, and been answered. */
    async settled(): Promise<void> {
      for (let i = 0; i < 8; i++) await turn();
    },
  };
}
