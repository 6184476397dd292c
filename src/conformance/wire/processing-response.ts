import type { Direction } from './processing-request.ts';
import { type Field, readFields } from './protobuf.ts';

/** Replies with every detail that a data plane may trip over. */

export interface SetHeader {
  readonly name: string;
  readonly value: string | undefined;
  readonly rawValue: string | undefined;
  /** Number of `HeaderAppendAction`: 0 append, 1 add if absent, 2 overwrite, 3 overwrite if it exists. */
  readonly appendAction: number;
  /** The deprecated wrapper, where it is set. */
  readonly append: boolean | undefined;
}

export interface HeaderMutation {
  readonly set: readonly SetHeader[];
  readonly remove: readonly string[];
}

export type BodyMutation =
  | { readonly kind: 'none' }
  | { readonly kind: 'body'; readonly bytes: Buffer }
  | { readonly kind: 'clear' }
  | { readonly kind: 'streamed'; readonly bytes: Buffer; readonly endOfStream: boolean };

export interface ImmediateReply {
  readonly kind: 'immediate';
  readonly status: number;
  readonly mutation: HeaderMutation;
  readonly body: Buffer;
}

export type Reply = (
  | {
      readonly kind: 'headers' | 'body';
      readonly direction: Direction;
      readonly mutation: HeaderMutation;
      readonly body: BodyMutation;
      readonly clearsRouteCache: boolean;
      /** Status CONTINUE_AND_REPLACE. */
      readonly replaces: boolean;
    }
  | { readonly kind: 'trailers'; readonly direction: Direction; readonly mutation: HeaderMutation }
  | ImmediateReply
  /** Only an envelope, or a kind that data planes of today do not know. */
  | { readonly kind: 'unknown' }
) & {
  /** `dynamic_metadata` by namespace, then key; only text values. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly hasModeOverride: boolean;
};

const noMutation: HeaderMutation = { set: [], remove: [] };

/** A `ProcessingResponse`. Throws a RangeError for bytes that are none. */
export function decodeReply(bytes: Buffer): Reply {
  const fields = readFields(bytes);
  const envelope = { metadata: metadataOf(fields), hasModeOverride: has(fields, 9) };
  const found = fields.findLast(({ number }) => number >= 1 && number <= 7);
  if (found === undefined) return { kind: 'unknown', ...envelope };
  const content = readFields(found.bytes);
  const direction: Direction = found.number % 2 === 1 ? 'request' : 'response';
  switch (found.number) {
    case 1:
    case 2:
      return { kind: 'headers', direction, ...common(content), ...envelope };
    case 3:
    case 4:
      return { kind: 'body', direction, ...common(content), ...envelope };
    case 5:
    case 6:
      return { kind: 'trailers', direction, mutation: headerMutation(content, 1), ...envelope };
    default: {
      const status = last(inside(content, 1), 1)?.value ?? 0;
      const body = last(content, 3)?.bytes ?? Buffer.alloc(0);
      return { kind: 'immediate', status, mutation: headerMutation(content), body, ...envelope };
    }
  }
}

function common(content: readonly Field[]) {
  const fields = inside(content, 1);
  return {
    mutation: headerMutation(fields),
    body: bodyMutation(inside(fields, 3)),
    clearsRouteCache: last(fields, 5)?.value === 1,
    replaces: last(fields, 1)?.value === 1,
  };
}

/** Field 2 of `CommonResponse` and of `ImmediateResponse`, 1 of `TrailersResponse`. */
function headerMutation(fields: readonly Field[], number = 2): HeaderMutation {
  if (!has(fields, number)) return noMutation;
  const mutation = inside(fields, number);
  return {
    set: mutation.filter(({ number }) => number === 1).map(({ bytes }) => setHeader(readFields(bytes))),
    remove: mutation.filter(({ number }) => number === 2).map(({ bytes }) => bytes.toString()),
  };
}

function setHeader(option: readonly Field[]): SetHeader {
  const header = inside(option, 1);
  return {
    name: last(header, 1)?.bytes.toString() ?? '',
    value: last(header, 2)?.bytes.toString(),
    rawValue: last(header, 3)?.bytes.toString(),
    appendAction: last(option, 3)?.value ?? 0,
    append: has(option, 2) ? last(inside(option, 2), 1)?.value === 1 : undefined,
  };
}

function bodyMutation(fields: readonly Field[]): BodyMutation {
  const found = fields.findLast(({ number }) => number >= 1 && number <= 3);
  if (found === undefined) return { kind: 'none' };
  if (found.number === 1) return { kind: 'body', bytes: found.bytes };
  if (found.number === 2) return found.value === 1 ? { kind: 'clear' } : { kind: 'none' };
  const streamed = readFields(found.bytes);
  const bytes = last(streamed, 1)?.bytes ?? Buffer.alloc(0);
  return { kind: 'streamed', bytes, endOfStream: last(streamed, 2)?.value === 1 };
}

function metadataOf(fields: readonly Field[]): Reply['metadata'] {
  const namespaces = structEntries(inside(fields, 8)).map(([name, value]) => {
    const texts = structEntries(inside(value, 5)).flatMap(([key, inner]) => {
      const text = last(inner, 3)?.bytes.toString();
      return text === undefined ? [] : [[key, text] as const];
    });
    return [name, Object.fromEntries(texts)] as const;
  });
  return Object.fromEntries(namespaces);
}

function structEntries(struct: readonly Field[]): (readonly [key: string, value: readonly Field[]])[] {
  return struct
    .filter(({ number }) => number === 1)
    .map(({ bytes }) => {
      const entry = readFields(bytes);
      return [last(entry, 1)?.bytes.toString() ?? '', inside(entry, 2)] as const;
    });
}

function has(fields: readonly Field[], number: number): boolean {
  return fields.some((field) => field.number === number);
}

function last(fields: readonly Field[], number: number): Field | undefined {
  return fields.findLast((field) => field.number === number);
}

function inside(fields: readonly Field[], number: number): readonly Field[] {
  const found = last(fields, number);
  return found === undefined ? [] : readFields(found.bytes);
}
