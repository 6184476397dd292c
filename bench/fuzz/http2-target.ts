import { Http2Connection } from '../../src/http2/connection.ts';
import {
  type ConnectionError,
  defaultLimits,
  ErrorCode,
  GrpcCall,
  isGrpc,
  refuseNonGrpc,
} from '../../src/http2/index.ts';
import type { Dice } from './dice.ts';
import { MemorySocket } from './memory-socket.ts';

/** Smaller than in production, so that random peers reach them. */
const limits = {
  ...defaultLimits,
  maxConcurrentStreams: 20,
  maxHeaderBlockBytes: 4096,
  maxHeaderListBytes: 4096,
  streamWindowBytes: 64 * 1024,
  connectionWindowBytes: 128 * 1024,
  maxQueuedBytes: 16 * 1024,
  maxUnsentBytes: 64 * 1024,
  maxHeldBytes: 64 * 1024,
  controlBurst: 100,
  resetBurst: 50,
};
const maxMessageBytes = 64 * 1024;

const codeNames = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));
/** An answer of this code would say that we failed, not the peer. */
const ours = ErrorCode.InternalError;

export interface Run {
  /** How it ended: `open`, `closed`, or the error code of GOAWAY. Known when `faults` is. */
  outcome(): string;
  /** What must not be, seen a turn of the event loop after the run; empty if all is well. */
  faults(): readonly string[];
}

/** Feeds a connection that echoes gRPC messages, and lets its peer vanish. */
export function runHttp2(chunks: readonly Buffer[], dice: Dice): Run {
  const socket = new MemorySocket();
  socket.isStalled = dice.chance(0.1);
  const faults: string[] = [];
  let openCalls = 0;
  let closes = 0;
  let failure: ConnectionError | undefined;
  let nowMs = 0;
  const connection = new Http2Connection({
    socket,
    limits,
    clock: () => nowMs,
    onRequest: (stream, head) => {
      if (!isGrpc(head)) {
        refuseNonGrpc(stream);
        return undefined;
      }
      openCalls++;
      const call = new GrpcCall(stream, maxMessageBytes);
      call.handle({
        onMessage: (bytes, start, end) => {
          if (!call.send(bytes.subarray(start, end), 0, end - start)) call.pause();
        },
        onEnd: () => {
          openCalls--;
          call.end();
        },
        onCancel: () => openCalls--,
        onDrain: () => call.resume(),
      });
      return call;
    },
    onClose: (error) => {
      closes++;
      failure = error;
    },
  });
  let most = 0;
  try {
    for (const chunk of chunks) {
      // A socket that was paused gives nothing more.
      if (socket.isPaused()) break;
      socket.receive(chunk);
      most = Math.max(most, socket.writableLength);
      if (dice.chance(0.01)) connection.drain();
      if (dice.chance(0.02)) {
        nowMs += dice.oneOf([1, 2000, 30_000, 100_000]);
        connection.tick(nowMs);
      }
    }
  } catch (error) {
    faults.push(`threw ${error instanceof Error ? error.stack : String(error)}`);
  }
  // Answers outside of a read leave in a microtask, so the end is looked at a turn later.
  const wasOpen = closes === 0;
  setImmediate(() => {
    if (dice.chance(0.5)) connection.destroy();
    else socket.destroy();
  });
  return {
    outcome: () => {
      if (failure !== undefined) return codeNames.get(failure.code) ?? String(failure.code);
      return wasOpen ? 'open' : 'closed';
    },
    faults: () => {
      if (openCalls !== 0) faults.push(`${openCalls} calls were not told of their end`);
      if (connection.streamCount !== 0) faults.push(`${connection.streamCount} streams are left`);
      if (closes !== 1) faults.push(`the end was told ${closes} times`);
      if (failure?.code === ours) faults.push(`an error of our own: ${failure.message}`);
      // One read of the largest chunk may be answered in full before reading stops.
      if (most > limits.maxUnsentBytes * 4) faults.push(`${most} bytes waited for the socket`);
      faults.push(...faultsOf(Buffer.concat(socket.sent), socket.isStalled));
      return faults;
    },
  };
}

/** Whether what we sent is HTTP/2: whole frames, each stream in its order, nothing behind an error. */
function faultsOf(bytes: Buffer, mayBeCut: boolean): string[] {
  const ended = new Set<number>();
  const begun = new Set<number>();
  let isOver = false;
  let at = 0;
  while (at < bytes.length) {
    const length = at + 9 <= bytes.length ? bytes.readUIntBE(at, 3) : 0;
    const next = at + 9 + length;
    if (next > bytes.length) return mayBeCut ? [] : ['sent a part of a frame'];
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const id = bytes.readUInt32BE(at + 5);
    const what = `frame type ${type} of stream ${id}`;
    if (at === 0 && type !== 4) return [`began with ${what}`];
    if (isOver) return [`sent ${what} behind an error`];
    if (length > 16_384 || ![0, 1, 3, 4, 6, 7, 8].includes(type)) return [`sent ${what}, ${length} bytes`];
    if (id !== 0 && type !== 8) {
      if (id % 2 === 0) return [`sent ${what}`];
      // RST_STREAM may follow the end: of a response that needs no more of the request, or of a late frame.
      if (type !== 3 && ended.has(id)) return [`sent ${what} behind its end`];
      if (type === 0 && !begun.has(id)) return [`sent ${what} before HEADERS`];
      begun.add(id);
      if (type === 3 || flags & 1) ended.add(id);
    }
    if (type === 7 && bytes.readUInt32BE(at + 13) !== ErrorCode.NoError) isOver = true;
    if (
      (type === 3 && bytes.readUInt32BE(at + 9) === ours) ||
      (type === 7 && bytes.readUInt32BE(at + 13) === ours)
    ) {
      return [`sent ${what} with INTERNAL_ERROR`];
    }
    at = next;
  }
  return [];
}
