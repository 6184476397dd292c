import type { MethodDefinition } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromWire, toWire, type WireRequest } from '../../src/ext-proc/codec.ts';
import type { ProcessingResponse } from '../../src/ext-proc/messages.ts';
import { loadServiceDefinitions } from '../../src/ext-proc/service-definitions.ts';
import { decodeRequest } from '../../src/ext-proc/wire/decode-request.ts';
import { encodeResponse } from '../../src/ext-proc/wire/encode-response.ts';
import { endOfStreamBytes, maxBytesAround, PieceReader, writeAround } from '../../src/ext-proc/wire/piece.ts';
import { ProtoWriter } from '../../src/ext-proc/wire/proto-writer.ts';

const { Process: method } = loadServiceDefinitions().externalProcessor as unknown as {
  Process: MethodDefinition<WireRequest, object> & {
    requestSerialize(request: object): Buffer;
    requestDeserialize(bytes: Buffer): WireRequest;
    responseSerialize(response: object): Buffer;
    responseDeserialize(bytes: Buffer): object;
  };
};

const text = fc.string({ maxLength: 40 });
const struct: fc.Arbitrary<object> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    text.map((stringValue) => ({ stringValue })),
    fc.array(tie('value'), { maxLength: 3 }).map((values) => ({ listValue: { values } })),
    tie('struct').map((structValue) => ({ structValue })),
  ),
  struct: fc.dictionary(text, tie('value'), { maxKeys: 3 }).map((fields) => ({ fields })),
})).struct as fc.Arbitrary<object>;
const header = fc.record(
  {
    key: fc.string({ minLength: 1, maxLength: 20 }),
    value: text,
    rawValue: text.map((value) => Buffer.from(value)),
  },
  { requiredKeys: ['key'] },
);
const kinds = [
  'requestHeaders',
  'responseHeaders',
  'requestBody',
  'responseBody',
  'requestTrailers',
] as const;
const wireRequest = fc
  .record(
    {
      kind: fc.constantFrom(...kinds),
      headers: fc.array(header, { maxLength: 8 }),
      body: fc.uint8Array({ maxLength: 300 }),
      endOfStream: fc.boolean(),
      metadata: fc.dictionary(text, struct, { maxKeys: 2 }),
      observabilityMode: fc.boolean(),
      protocolConfig: fc.record({
        requestBodyMode: fc.constantFrom('NONE', 'BUFFERED', 'FULL_DUPLEX_STREAMED'),
        responseBodyMode: fc.constantFrom('STREAMED', 'FULL_DUPLEX_STREAMED'),
        sendBodyWithoutWaitingForHeaderResponse: fc.boolean(),
      }),
    },
    { requiredKeys: ['kind', 'headers', 'body', 'endOfStream'] },
  )
  .map(({ kind, headers, body, endOfStream, metadata, observabilityMode, protocolConfig }) => ({
    [kind]: kind.endsWith('Headers')
      ? { headers: { headers }, endOfStream }
      : kind.endsWith('Body')
        ? { body: Buffer.from(body), endOfStream }
        : {},
    ...(metadata === undefined ? {} : { metadataContext: { filterMetadata: metadata } }),
    ...(observabilityMode === undefined ? {} : { observabilityMode }),
    ...(protocolConfig === undefined ? {} : { protocolConfig }),
  }));

describe('decoding by hand', () => {
  it('reads every request as protobufjs does', () => {
    fc.assert(
      fc.property(wireRequest, fc.nat(20), (request, offset) => {
        const encoded = method.requestSerialize(request);
        const bytes = Buffer.concat([Buffer.alloc(offset, 7), encoded, Buffer.alloc(9, 7)]);
        const ours = decodeRequest(bytes, offset, offset + encoded.length);
        expect(plain(ours)).toEqual(plain(fromWire(method.requestDeserialize(encoded))));
      }),
      { numRuns: 500 },
    );
  });

  it('passes over fields that it does not know', () => {
    const known = method.requestSerialize({ requestBody: { body: Buffer.from('x') } });
    // Field 100 as varint, fixed64, bytes and fixed32.
    const unknown = Buffer.from(
      'a0060 1 a10601020304050607 08 a2060 2 ffff a50601020304'.replaceAll(' ', ''),
      'hex',
    );
    const bytes = Buffer.concat([unknown, known, unknown]);
    expect(decodeRequest(bytes, 0, bytes.length)).toMatchObject({ kind: 'body', body: Buffer.from('x') });
  });

  it('passes over groups, to a depth', () => {
    const known = method.requestSerialize({ requestBody: { body: Buffer.from('x') } });
    const group = (depth: number) =>
      Buffer.concat([Buffer.alloc(depth, 0xa3), Buffer.from([0x08, 1]), Buffer.alloc(depth, 0xa4)]);
    // Field 4 as a group, one in the other: tag a3 01, end a4 01.
    const nested = (depth: number) =>
      Buffer.from(group(depth).toString('hex').replaceAll('a3', 'a301').replaceAll('a4', 'a401'), 'hex');
    const bytes = Buffer.concat([nested(100), known]);
    expect(decodeRequest(bytes, 0, bytes.length)).toMatchObject({ kind: 'body', body: Buffer.from('x') });
    const deeper = Buffer.concat([nested(101), known]);
    expect(() => decodeRequest(deeper, 0, deeper.length)).toThrow(RangeError);
    const unended = Buffer.from('a3010801', 'hex');
    expect(() => decodeRequest(unended, 0, unended.length)).toThrow(RangeError);
  });

  it('takes the last of several messages, and nothing of those before', () => {
    const first = method.requestSerialize({ requestBody: { body: Buffer.from('x'), endOfStream: true } });
    const last = method.requestSerialize({ responseBody: {} });
    const bytes = Buffer.concat([first, last]);
    expect(decodeRequest(bytes, 0, bytes.length)).toMatchObject({
      direction: 'response',
      body: Buffer.alloc(0),
      endOfStream: false,
    });
  });

  it('reads as many metadata entries as there are, each once', () => {
    const count = 100_000;
    const attributes = Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, {}]));
    const bytes = method.requestSerialize({ requestTrailers: {}, attributes });
    const request = decodeRequest(bytes, 0, bytes.length);
    expect(Object.keys(request?.attributes ?? {})).toHaveLength(count);
  });

  it('reads a message that is only a body as it reads one with more to it, wherever it is cut', () => {
    const read = (bytes: Buffer) => {
      try {
        return plain(decodeRequest(bytes, 0, bytes.length));
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
        return 'malformed';
      }
    };
    const unknownField = Buffer.from([15 << 3, 0]);
    const field = fc.constantFrom('requestBody', 'responseBody');
    const body = fc.oneof(fc.uint8Array({ maxLength: 5 }), fc.uint8Array({ minLength: 120, maxLength: 140 }));
    fc.assert(
      fc.property(field, body, fc.boolean(), fc.nat(), (name, bytes, endOfStream, cut) => {
        const whole = method.requestSerialize({ [name]: { body: Buffer.from(bytes), endOfStream } });
        expect(read(whole)).toEqual(read(Buffer.concat([whole, unknownField])));
        // In front, so that what is cut stays the end of the message.
        const part = whole.subarray(0, cut % (whole.length + 1));
        expect(read(part)).toEqual(read(Buffer.concat([unknownField, part])));
      }),
    );
  });

  it('reads a body mode that has no name as none, in both codecs', () => {
    const bytes = method.requestSerialize({ requestTrailers: {}, protocolConfig: { requestBodyMode: 77 } });
    const modes = { protocolConfig: { requestBodyMode: 'NONE', responseBodyMode: 'NONE' } };
    expect(decodeRequest(bytes, 0, bytes.length)).toMatchObject(modes);
    expect(fromWire(method.requestDeserialize(bytes))).toMatchObject(modes);
  });

  it('refuses or reads mutated bytes, and never reads past their end', () => {
    fc.assert(
      fc.property(
        wireRequest,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.nat(),
        (request, changes, cut) => {
          const bytes = Buffer.from(method.requestSerialize(request));
          for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
          const end = cut % (bytes.length + 1);
          try {
            decodeRequest(bytes, 0, end);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

const direction = fc.constantFrom('request' as const, 'response' as const);
const mutation = fc.record({
  set: fc.array(fc.tuple(text, text), { maxLength: 4 }),
  remove: fc.array(text, { maxLength: 4 }),
});
const numbers = fc
  .dictionary(text, fc.double({ noNaN: true }), { maxKeys: 3 })
  .map((entries) => new Map(Object.entries(entries)));
const metadata = fc.dictionary(text, fc.dictionary(text, fc.oneof(text, numbers), { maxKeys: 3 }), {
  maxKeys: 2,
});
const streamed = fc.record({
  body: fc.uint8Array({ maxLength: 70_000, size: 'max' }),
  endOfStream: fc.boolean(),
});
const response: fc.Arbitrary<ProcessingResponse> = fc.oneof(
  fc.record(
    { kind: fc.constant('headers' as const), direction, mutation, metadata },
    { requiredKeys: ['kind', 'direction'] },
  ),
  fc.record(
    { kind: fc.constant('body' as const), direction, mutation, metadata, streamed },
    { requiredKeys: ['kind', 'direction'] },
  ),
  fc.record(
    { kind: fc.constant('trailers' as const), direction, mutation },
    { requiredKeys: ['kind', 'direction'] },
  ),
  fc.record({
    kind: fc.constant('immediate' as const),
    status: fc.integer({ min: 200, max: 599 }),
    headers: mutation,
    body: fc.uint8Array({ maxLength: 300 }),
    details: text,
  }),
);

describe('encoding by hand', () => {
  it('writes every response so that protobufjs reads the same', () => {
    const writer = new ProtoWriter(8);
    fc.assert(
      fc.property(response, (value) => {
        encodeResponse(writer, value);
        const ours = Buffer.from(writer.bytes.slice(writer.start, writer.end));
        const theirs = method.responseSerialize(toWire(value));
        expect(plain(method.responseDeserialize(ours))).toEqual(plain(method.responseDeserialize(theirs)));
        expect(writer.start).toBeGreaterThanOrEqual(8);
      }),
      { numRuns: 300 },
    );
  });

  it('write the same bytes for a piece whose body is left where it lies', () => {
    const whole = new ProtoWriter(8);
    const around = new Uint8Array(5 + maxBytesAround);
    const length = fc.oneof(fc.nat(300), fc.constantFrom(16_383, 16_384, 62_000, 2_097_150, 2_097_152));
    fc.assert(
      fc.property(
        length,
        fc.boolean(),
        fc.constantFrom('request', 'response'),
        (bytes, endOfStream, direction) => {
          const body = Buffer.alloc(bytes, 7);
          encodeResponse(whole, { kind: 'body', direction, streamed: { body, endOfStream } });
          const headEnd = writeAround(around, 5, direction, bytes, endOfStream);
          const tail = around.subarray(headEnd, headEnd + (endOfStream ? endOfStreamBytes : 0));
          const parts = Buffer.concat([around.subarray(5, headEnd), body, tail]);
          expect(parts.equals(whole.bytes.subarray(whole.start, whole.end))).toBe(true);
        },
      ),
    );
  });
});

describe('a piece of a response read where it lies', () => {
  const reader = new PieceReader();

  it('is what decoding the message gives, and is found in every message that is nothing else', () => {
    const length = fc.oneof(fc.nat(300), fc.constantFrom(0, 127, 128, 16_000, 16_383, 16_384, 62_000));
    fc.assert(
      fc.property(length, fc.boolean(), fc.nat(9), (bodyBytes, endOfStream, before) => {
        const body = Buffer.alloc(bodyBytes, 'data: {}\n');
        const message = method.requestSerialize({ responseBody: { body, endOfStream } });
        const bytes = Buffer.concat([Buffer.alloc(before, 0x2a), message, Buffer.alloc(9, 1)]);
        const isPiece = reader.read(bytes, before, before + message.length);
        expect(isPiece).toBe(message.length >= 7 && message.length < 16_390);
        if (!isPiece) return;
        expect(bytes.subarray(reader.start, reader.end).equals(body)).toBe(true);
        expect(reader.endOfStream).toBe(endOfStream);
      }),
    );
  });

  it('is never found in a message that says more, less or something else', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.boolean(),
        fc.array(
          fc.record({ at: fc.nat(12), byte: fc.constantFrom(0, 1, 2, 9, 10, 16, 42, 127, 128, 255) }),
          {
            maxLength: 3,
          },
        ),
        fc.nat(3),
        (body, endOfStream, changes, cut) => {
          const bytes = method.requestSerialize({ responseBody: { body, endOfStream } });
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          const end = bytes.length - cut;
          if (!reader.read(bytes, 0, end)) return;
          const message = decodeRequest(bytes, 0, end);
          expect(message).toEqual({
            metadata: undefined,
            attributes: undefined,
            protocolConfig: undefined,
            isObservedOnly: false,
            kind: 'body',
            direction: 'response',
            body: bytes.subarray(reader.start, reader.end),
            endOfStream: reader.endOfStream,
          });
        },
      ),
      { numRuns: 3000 },
    );
  });
});

/** Maps and buffers as plain data; absent and empty bytes and texts are the same thing on the wire. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return [...value].map(([key, entry]) => [key, plain(entry)]);
  if (value instanceof Uint8Array) return value.length === 0 ? undefined : Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value === '' || value === false ? undefined : value;
  const entries = Object.entries(value)
    // protobufjs names the case of a Value beside it.
    .filter(([key, entry]) => !(key === 'kind' && /^(string|list|struct)Value$/.test(String(entry))))
    .map(([key, entry]) => [key, plain(entry)] as const)
    .filter(([, entry]) => entry !== undefined && !isEmpty(entry));
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
