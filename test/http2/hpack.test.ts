import { once } from 'node:events';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, sensitiveHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MemorySocket } from '../../bench/fuzz/memory-socket.ts';
import { type HeaderField, HpackDecoder } from '../../src/http2/hpack-decoder.ts';
import { defaultLimits, GrpcCall, Http2Server } from '../../src/http2/index.ts';
import { type Frame, frame, framesOf, preface, settings } from './raw-client.ts';

const announced = 4096;
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789-';
const printable = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
  maxLength: 60,
});
const value = fc.oneof(
  { weight: 10, arbitrary: printable },
  fc.constantFrom('gzip, deflate', 'application/grpc', 'trailers', 'a b\tc'),
  fc.integer({ min: 1000, max: 9000 }).map((length) => 'v'.repeat(length)),
);
const knownName = fc.constantFrom('accept-encoding', 'user-agent', 'authorization', 'grpc-timeout');
const ownName = fc
  .string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 30 })
  .map((text) => `x-${text}`);
const headerList = fc
  .tuple(
    fc.dictionary(knownName, value, { maxKeys: 4 }),
    fc.dictionary(ownName, fc.oneof(value, fc.array(value, { minLength: 2, maxLength: 3 })), { maxKeys: 8 }),
  )
  .map(([known, own]) => ({ ...known, ...own }));
const requests = fc.array(
  fc.record({
    headers: headerList,
    isSensitive: fc.boolean(),
    /** The server's SETTINGS_HEADER_TABLE_SIZE before the request; undefined = as it was. */
    tableBytes: fc.option(fc.integer({ min: 0, max: announced }), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 10 },
);

it('decodes what nghttp2 encodes, over changing tables', async () => {
  await fc.assert(
    fc.asyncProperty(requests, async (list) => {
      const peer = nghttp2();
      const decoder = new HpackDecoder({ maxTableBytes: announced, maxListBytes: 1 << 20 });
      for (const { headers, isSensitive, tableBytes } of list) {
        if (tableBytes !== undefined) await peer.resize(tableBytes);
        const block = await peer.request({
          ...headers,
          ...(isSensitive ? { [sensitiveHeaders]: Object.keys(headers).slice(0, 2) } : {}),
        });
        const fields = decoder.decode(block, 0, block.length) ?? [];
        expect(sorted(fields)).toEqual(sorted([...pseudoHeaders, ...flat(headers)]));
        expect(fields.slice(0, pseudoHeaders.length).every(([key]) => key.startsWith(':'))).toBe(true);
      }
      peer.session.destroy();
    }),
    { numRuns: 100 },
  );
});

it('encodes what nghttp2 decodes: any status and message, with and without an answer before', async () => {
  let end = (_call: GrpcCall): void => {};
  const server = new Http2Server({
    tls: undefined,
    limits: defaultLimits,
    clock: () => performance.now(),
    onViolation: () => {},
    onRequest: (stream) => {
      const call = new GrpcCall(stream, 1000);
      call.handle({ onMessage: () => {}, onEnd: () => end(call), onCancel: () => {}, onDrain: () => {} });
      return call;
    },
  });
  await new Promise<void>((resolve) => server.server.listen(0, '127.0.0.1', resolve));
  const session = connect(`http://127.0.0.1:${(server.server.address() as AddressInfo).port}`);
  const message = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.integer({ min: 100, max: 400 }).map((length) => 'm'.repeat(length)),
  );
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 16 }),
        message,
        fc.boolean(),
        async (status, text, answers) => {
          end = (call) => {
            if (answers) call.send(Buffer.from([1, 2, 3]), 0, 3);
            call.end(status, text);
          };
          const { headers, trailers, body } = await call(session);
          expect(headers).toMatchObject({ ':status': 200, 'content-type': 'application/grpc' });
          expect(body).toEqual(answers ? Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]) : Buffer.alloc(0));
          const last = answers ? trailers : headers;
          expect(last?.['grpc-status']).toBe(String(status));
          const told = decodeURIComponent(String(last?.['grpc-message'] ?? ''));
          expect(told).toBe(Buffer.from(text.slice(0, 300)).toString());
        },
      ),
      { numRuns: 100 },
    );
  } finally {
    session.destroy();
    await server.close(0);
  }
});

const pseudoHeaders: readonly HeaderField[] = [
  [':method', 'POST'],
  [':path', '/a'],
  [':scheme', 'http'],
  [':authority', 'peer:80'],
];

/** The client of `node:http2`, whose bytes and whose server's SETTINGS are in our hands. */
function nghttp2() {
  const socket = new MemorySocket();
  const session = connect('http://peer', { createConnection: () => socket });
  session.on('error', () => {});
  socket.receive(settings());
  const frames = (): readonly Frame[] => framesOf(Buffer.concat(socket.sent).subarray(preface.length)).frames;
  const acknowledgements = () => frames().filter(({ type, flags }) => type === 4 && flags === 1).length;
  let id = -1;
  return {
    session,
    async resize(bytes: number): Promise<void> {
      const before = acknowledgements();
      socket.receive(settings(`0001${bytes.toString(16).padStart(8, '0')}`));
      await until(() => acknowledgements() > before);
    },
    /** Sends a request; returns its header block. */
    async request(headers: IncomingHttpHeaders): Promise<Buffer> {
      id += 2;
      const stream = session.request({ ':method': 'POST', ':path': '/a', ...headers }, { endStream: true });
      stream.on('error', () => {});
      const own = () => frames().filter((each) => each.id === id && (each.type === 1 || each.type === 9));
      await until(() => own().some(({ flags }) => (flags & 4) !== 0));
      // The response lets the stream go; without indexing, so that no table of the client's changes.
      socket.receive(frame(1, 5, id, Buffer.from([0x88])));
      return Buffer.concat(own().map(fragment));
    },
  };
}

/** Without padding and priority. */
function fragment({ type, flags, payload }: Frame): Buffer {
  if (type === 9) return payload;
  const padding = flags & 8 ? payload[0]! : 0;
  return payload.subarray((flags & 8 ? 1 : 0) + (flags & 0x20 ? 5 : 0), payload.length - padding);
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve));
}

function flat(headers: Readonly<Record<string, string | readonly string[]>>): HeaderField[] {
  return Object.entries(headers).flatMap(([key, values]) =>
    (typeof values === 'string' ? [values] : values).map((text): HeaderField => [key, text]),
  );
}

function sorted(fields: readonly HeaderField[]): string[] {
  return fields.map(([key, text]) => `${key}: ${text}`).toSorted();
}

async function call(session: ClientHttp2Session) {
  const stream = session.request({ ':method': 'POST', ':path': '/a', 'content-type': 'application/grpc' });
  const pieces: Buffer[] = [];
  let headers: IncomingHttpHeaders | undefined;
  let trailers: IncomingHttpHeaders | undefined;
  stream.on('response', (received) => {
    headers = received;
  });
  stream.on('trailers', (received) => {
    trailers = received;
  });
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  stream.end();
  await once(stream, 'close');
  return { headers, trailers, body: Buffer.concat(pieces) };
}
