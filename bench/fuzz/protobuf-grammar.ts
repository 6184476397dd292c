import { isUtf8 } from 'node:buffer';

/** What a field holds; a name is a message of this table. */
type Kind = 'varint' | 'fixed64' | 'text' | 'bytes' | keyof typeof messages;
interface Field {
  readonly kind: Kind;
  readonly repeats?: true;
  /** Fields of one name exclude each other. */
  readonly oneof?: string;
}

const messages = {
  request: {
    2: { kind: 'headers', oneof: 'request' },
    3: { kind: 'headers', oneof: 'request' },
    4: { kind: 'body', oneof: 'request' },
    5: { kind: 'body', oneof: 'request' },
    6: { kind: 'trailers', oneof: 'request' },
    7: { kind: 'trailers', oneof: 'request' },
    8: { kind: 'metadata' },
    9: { kind: 'structEntry', repeats: true },
    10: { kind: 'varint' },
    11: { kind: 'config' },
  },
  headers: { 1: { kind: 'headerMap' }, 3: { kind: 'varint' } },
  trailers: { 1: { kind: 'headerMap' } },
  body: { 1: { kind: 'bytes' }, 2: { kind: 'varint' } },
  headerMap: { 1: { kind: 'header', repeats: true } },
  header: { 1: { kind: 'text' }, 2: { kind: 'text' }, 3: { kind: 'bytes' } },
  metadata: { 1: { kind: 'structEntry', repeats: true } },
  config: { 1: { kind: 'varint' }, 2: { kind: 'varint' }, 3: { kind: 'varint' } },
  structEntry: { 1: { kind: 'text' }, 2: { kind: 'struct' } },
  struct: { 1: { kind: 'valueEntry', repeats: true } },
  valueEntry: { 1: { kind: 'text' }, 2: { kind: 'value' } },
  value: {
    1: { kind: 'varint', oneof: 'kind' },
    2: { kind: 'fixed64', oneof: 'kind' },
    3: { kind: 'text', oneof: 'kind' },
    4: { kind: 'varint', oneof: 'kind' },
    5: { kind: 'struct', oneof: 'kind' },
    6: { kind: 'list', oneof: 'kind' },
  },
  list: { 1: { kind: 'value', repeats: true } },
} as const satisfies Record<string, Record<number, { kind: string; repeats?: true; oneof?: string }>>;

const wireTypes = { varint: 0, fixed64: 1, text: 2, bytes: 2 } as const;
/** The hand-written decoder follows metadata no deeper. */
const maxStructDepth = 16;

/** What stops the reading of a message that has only one meaning. */
class Ambiguous extends Error {}

/**
 * Whether the bytes are a `ProcessingRequest` that every decoder must read alike: each field of its own wire
 * type, within its parent, no message twice, one case of each oneof, valid UTF-8.
 */
export function hasOneMeaning(bytes: Buffer): boolean {
  try {
    readMessage(bytes, 0, bytes.length, 'request', 0);
    return true;
  } catch (error) {
    if (error instanceof Ambiguous) return false;
    throw error;
  }
}

function readMessage(
  bytes: Buffer,
  start: number,
  end: number,
  name: keyof typeof messages,
  depth: number,
): void {
  if (depth > 2 * maxStructDepth) throw new Ambiguous('too deep');
  const fields: Readonly<Record<number, Field>> = messages[name];
  const seen = new Set<number | string>();
  let at = start;
  while (at < end) {
    const tag = readVarint(bytes, at, end, 5);
    const number = tag.value >>> 3;
    if (number === 0) throw new Ambiguous('field 0');
    const field = fields[number];
    at = tag.next;
    if (field === undefined) {
      at = skip(bytes, at, end, tag.value, 0);
      continue;
    }
    const isScalar =
      field.kind === 'varint' || field.kind === 'fixed64' || field.kind === 'text' || field.kind === 'bytes';
    if ((tag.value & 7) !== (isScalar ? wireTypes[field.kind as keyof typeof wireTypes] : 2))
      throw new Ambiguous('type');
    const key = field.oneof ?? number;
    if (seen.has(key) && (!isScalar || field.oneof !== undefined) && field.repeats !== true)
      throw new Ambiguous('twice');
    seen.add(key);
    if (field.kind === 'varint') at = readVarint(bytes, at, end, 5).next;
    else if (field.kind === 'fixed64') at = within(at + 8, end);
    else {
      const length = readVarint(bytes, at, end, 5);
      at = within(length.next + length.value, end);
      if (field.kind === 'text') checkText(bytes.subarray(length.next, at));
      else if (field.kind !== 'bytes') {
        readMessage(bytes, length.next, at, field.kind, depth + (field.kind === 'value' ? 2 : 0));
      }
    }
  }
}

function checkText(text: Buffer): void {
  // protobufjs cannot keep this key of a map.
  if (!isUtf8(text) || text.equals(Buffer.from('__proto__'))) throw new Ambiguous('text');
}

function readVarint(
  bytes: Buffer,
  start: number,
  end: number,
  maxBytes: number,
): { value: number; next: number } {
  let value = 0;
  for (let i = 0; i < maxBytes; i++) {
    if (start + i >= end) throw new Ambiguous('end');
    const byte = bytes[start + i]!;
    if (i < 5) value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return { value: value >>> 0, next: start + i + 1 };
  }
  throw new Ambiguous('varint');
}

function skip(bytes: Buffer, start: number, end: number, tag: number, depth: number): number {
  switch (tag & 7) {
    case 0:
      return readVarint(bytes, start, end, 10).next;
    case 1:
      return within(start + 8, end);
    case 2: {
      const length = readVarint(bytes, start, end, 5);
      return within(length.next + length.value, end);
    }
    case 3:
      return skipGroup(bytes, start, end, tag >>> 3, depth + 1);
    case 5:
      return within(start + 4, end);
    default:
      throw new Ambiguous('wire type');
  }
}

function skipGroup(bytes: Buffer, start: number, end: number, number: number, depth: number): number {
  if (depth > 50) throw new Ambiguous('groups');
  for (let at = start; ; ) {
    const tag = readVarint(bytes, at, end, 5);
    at = tag.next;
    if ((tag.value & 7) === 4) {
      if (tag.value >>> 3 !== number) throw new Ambiguous('another group ends');
      return at;
    }
    at = skip(bytes, at, end, tag.value, depth);
  }
}

function within(at: number, end: number): number {
  if (at > end) throw new Ambiguous('behind its parent');
  return at;
}
