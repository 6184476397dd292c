import type {
  BodyMode,
  Direction,
  Headers,
  ProcessingRequest,
  ProtocolConfig,
  Struct,
  StructValue,
} from '../messages.ts';
import { ProtoReader } from './proto-reader.ts';

const bodyModes: readonly BodyMode[] = [
  'NONE',
  'STREAMED',
  'BUFFERED',
  'BUFFERED_PARTIAL',
  'FULL_DUPLEX_STREAMED',
  'GRPC',
];
/** Nesting of metadata that we follow; deeper values are passed over. */
const maxStructDepth = 16;
const reader = new ProtoReader();

const noHeaders: Headers = new Map();
const noBytes = Buffer.alloc(0);

type StructsByKey = Record<string, Struct>;

interface Fields {
  metadata: StructsByKey | undefined;
  attributes: StructsByKey | undefined;
  protocolConfig: ProtocolConfig | undefined;
  isObservedOnly: boolean;
  kind: ProcessingRequest['kind'] | undefined;
  direction: Direction;
  headers: Headers;
  body: Buffer;
  endOfStream: boolean;
}

/** Of the message that is being read; one for all, since reading is one synchronous step. */
const fields: Fields = {
  metadata: undefined,
  attributes: undefined,
  protocolConfig: undefined,
  isObservedOnly: false,
  kind: undefined,
  direction: 'request',
  headers: noHeaders,
  body: noBytes,
  endOfStream: false,
};

/**
 * A `ProcessingRequest` of `envoy.service.ext_proc.v3`, by hand: field numbers are those of `proto/`.
 * Undefined for a message of a kind that we do not know. Throws a RangeError for bytes that are none.
 */
export function decodeRequest(bytes: Buffer, start: number, end: number): ProcessingRequest | undefined {
  const piece = decodePiece(bytes, start, end);
  if (piece !== undefined) return piece;
  reader.open(bytes, start, end);
  fields.metadata = undefined;
  fields.attributes = undefined;
  fields.protocolConfig = undefined;
  fields.isObservedOnly = false;
  fields.kind = undefined;
  fields.direction = 'request';
  fields.headers = noHeaders;
  fields.body = noBytes;
  fields.endOfStream = false;
  while (reader.at < end) readField();
  const message = takeMessage();
  // What is read is the caller's: nothing of it is held here.
  fields.headers = noHeaders;
  fields.body = noBytes;
  return message;
}

const requestBodyTag = (4 << 3) | 2;
const responseBodyTag = (5 << 3) | 2;

/** A body and nothing else, of which an exchange may have hundreds; undefined for a message that has more to it. */
function decodePiece(bytes: Buffer, start: number, end: number): ProcessingRequest | undefined {
  const tag = bytes[start];
  if (start >= end || (tag !== requestBodyTag && tag !== responseBodyTag)) return undefined;
  reader.open(bytes, start + 1, end);
  if (reader.span() !== end || reader.at === end || reader.tag() !== ((1 << 3) | lengthDelimited))
    return undefined;
  const bodyEnd = reader.span();
  const endOfStream = bodyEnd + 2 === end && bytes[bodyEnd] === 2 << 3 && bytes[bodyEnd + 1] === 1;
  if (bodyEnd !== end && !endOfStream) return undefined;
  return {
    metadata: undefined,
    attributes: undefined,
    protocolConfig: undefined,
    isObservedOnly: false,
    direction: tag === requestBodyTag ? 'request' : 'response',
    kind: 'body',
    body: reader.view(bodyEnd),
    endOfStream,
  };
}

/** Spelled out by kind: a spread makes each message several times as expensive. */
function takeMessage(): ProcessingRequest | undefined {
  const { metadata, attributes, protocolConfig, isObservedOnly, direction, kind, endOfStream } = fields;
  switch (kind) {
    case 'headers': {
      const { headers } = fields;
      return {
        metadata,
        attributes,
        protocolConfig,
        isObservedOnly,
        direction,
        kind,
        headers,
        endOfStream,
      };
    }
    case 'body': {
      const { body } = fields;
      return { metadata, attributes, protocolConfig, isObservedOnly, direction, kind, body, endOfStream };
    }
    case 'trailers': {
      const { headers } = fields;
      return { metadata, attributes, protocolConfig, isObservedOnly, direction, kind, headers };
    }
    case undefined:
      return undefined;
  }
}

const lengthDelimited = 2;

function readField(): void {
  const tag = reader.tag();
  const number = tag >>> 3;
  if ((tag & 7) === lengthDelimited && number >= 2 && number <= 7) {
    // Of several, the last counts, and nothing of those before it.
    fields.endOfStream = false;
    fields.body = noBytes;
    fields.headers = noHeaders;
    fields.direction = number % 2 === 0 ? 'request' : 'response';
    fields.kind = number <= 3 ? 'headers' : number <= 5 ? 'body' : 'trailers';
    const end = reader.span();
    if (fields.kind === 'headers') readHttpHeaders(end);
    else if (fields.kind === 'body') readHttpBody(end);
    else if (fields.direction === 'request') readHttpTrailers(end);
    else reader.at = end;
  } else if (tag === ((8 << 3) | lengthDelimited)) {
    const end = reader.span();
    while (reader.at < end) {
      const inner = reader.tag();
      if (inner === ((1 << 3) | lengthDelimited)) fields.metadata = readMapEntry(fields.metadata);
      else reader.skip(inner);
    }
  } else if (tag === ((9 << 3) | lengthDelimited)) {
    fields.attributes = readMapEntry(fields.attributes);
  } else if (tag === 10 << 3) {
    fields.isObservedOnly = reader.bool();
  } else if (tag === ((11 << 3) | lengthDelimited)) {
    fields.protocolConfig = readProtocolConfig();
  } else {
    reader.skip(tag);
  }
}

function readHttpHeaders(end: number): void {
  const headers = new Map<string, string>();
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | lengthDelimited)) readHeaderMap(headers);
    else if (tag === 3 << 3) fields.endOfStream = reader.bool();
    else reader.skip(tag);
  }
  fields.headers = headers;
}

function readHttpTrailers(end: number): void {
  const headers = new Map<string, string>();
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | lengthDelimited)) readHeaderMap(headers);
    else reader.skip(tag);
  }
  fields.headers = headers;
}

function readHeaderMap(headers: Map<string, string>): void {
  const end = reader.span();
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | lengthDelimited)) readHeader(headers, reader.span());
    else reader.skip(tag);
  }
}

/** Envoy uses `raw_value`; agentgateway uses `value` for pseudo-headers; NGINX Gateway Fabric for all. */
function readHeader(headers: Map<string, string>, end: number): void {
  let name = '';
  let value = '';
  let rawValue = '';
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | lengthDelimited)) name = reader.name(reader.span());
    else if (tag === ((2 << 3) | lengthDelimited)) value = reader.value(reader.span());
    else if (tag === ((3 << 3) | lengthDelimited)) rawValue = reader.value(reader.span());
    else reader.skip(tag);
  }
  if (name === '') return;
  const text = rawValue === '' ? value : rawValue;
  const earlier = headers.get(name);
  headers.set(name, earlier === undefined ? text : `${earlier},${text}`);
}

function readHttpBody(end: number): void {
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | lengthDelimited)) fields.body = reader.view(reader.span());
    else if (tag === 2 << 3) fields.endOfStream = reader.bool();
    else reader.skip(tag);
  }
}

function readProtocolConfig(): ProtocolConfig {
  const end = reader.span();
  let requestBodyMode: BodyMode = 'NONE';
  let responseBodyMode: BodyMode = 'NONE';
  let sendsBodyWithoutWaiting = false;
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === 1 << 3) requestBodyMode = bodyModes[reader.uint32()] ?? 'NONE';
    else if (tag === 2 << 3) responseBodyMode = bodyModes[reader.uint32()] ?? 'NONE';
    else if (tag === 3 << 3) sendsBodyWithoutWaiting = reader.bool();
    else reader.skip(tag);
  }
  return { requestBodyMode, responseBodyMode, sendsBodyWithoutWaiting };
}

/** Adds one entry of `map<string, google.protobuf.Struct>`; returns the map. */
function readMapEntry(entries: StructsByKey = Object.create(null)): StructsByKey {
  const end = reader.span();
  let key = '';
  let value: Struct = {};
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | lengthDelimited)) key = reader.text(reader.span());
    else if (tag === ((2 << 3) | lengthDelimited)) value = readStruct(reader.span(), 0);
    else reader.skip(tag);
  }
  entries[key] = value;
  return entries;
}

function readStruct(end: number, depth: number): Struct {
  const fields: Record<string, StructValue> = Object.create(null);
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag !== ((1 << 3) | lengthDelimited)) {
      reader.skip(tag);
      continue;
    }
    const entryEnd = reader.span();
    let key = '';
    let value: StructValue = {};
    while (reader.at < entryEnd) {
      const inner = reader.tag();
      if (inner === ((1 << 3) | lengthDelimited)) key = reader.text(reader.span());
      else if (inner === ((2 << 3) | lengthDelimited)) value = readValue(reader.span(), depth + 1);
      else reader.skip(inner);
    }
    fields[key] = value;
  }
  return { fields };
}

/** Only what routing reads: text, lists and structs; numbers and booleans are passed over. */
function readValue(end: number, depth: number): StructValue {
  let value: StructValue = {};
  while (reader.at < end) {
    const tag = reader.tag();
    if (depth > maxStructDepth) reader.skip(tag);
    else if (tag === ((3 << 3) | lengthDelimited)) value = { stringValue: reader.text(reader.span()) };
    else if (tag === ((5 << 3) | lengthDelimited)) value = { structValue: readStruct(reader.span(), depth) };
    else if (tag === ((6 << 3) | lengthDelimited)) value = { listValue: readList(reader.span(), depth) };
    else reader.skip(tag);
  }
  return value;
}

function readList(end: number, depth: number): { values: StructValue[] } {
  const values: StructValue[] = [];
  while (reader.at < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | lengthDelimited)) values.push(readValue(reader.span(), depth + 1));
    else reader.skip(tag);
  }
  return { values };
}
