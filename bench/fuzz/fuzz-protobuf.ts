import { isDeepStrictEqual } from 'node:util';
import { fromWire } from '../../src/ext-proc/codec.ts';
import type { Metadata, ProcessingRequest, Struct, StructValue } from '../../src/ext-proc/messages.ts';
import { decodeRequest } from '../../src/ext-proc/wire/decode-request.ts';
import { diceOf } from './dice.ts';
import type { FuzzFailure, FuzzOptions } from './fuzz-http2.ts';
import { reference } from './protobuf-frame.ts';
import { hasOneMeaning } from './protobuf-grammar.ts';
import { mutatedFrame } from './protobuf-mutation.ts';

type Reading = { readonly request: ProcessingRequest | undefined } | { readonly refusal: unknown };

/**
 * Gives frames to both codecs. What has one meaning must be read alike; on the rest both may say what they
 * like, or refuse with an error of theirs.
 */
export function fuzzProtobuf({ seed, from, to }: FuzzOptions): {
  readonly outcomes: ReadonlyMap<string, number>;
  readonly failures: readonly FuzzFailure[];
} {
  const outcomes = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  for (let index = from; index < to; index++) {
    const { kinds, bytes } = mutatedFrame(diceOf(seed, `protobuf ${index}`));
    const { outcome, faults } = judge(bytes);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (faults.length > 0) failures.push({ seed, index, kinds, faults, chunks: [bytes.toString('hex')] });
  }
  return { outcomes, failures };
}

function judge(bytes: Buffer): { readonly outcome: string; readonly faults: readonly string[] } {
  // Bytes around the frame, as in a socket's buffer: reading them would show in the result.
  const around = Buffer.concat([Buffer.alloc(3, 0x0a), bytes, Buffer.alloc(9, 0x0a)]);
  const ours = attempt(() => decodeRequest(around, 3, 3 + bytes.length));
  const theirs = attempt(() => fromWire(reference.requestDeserialize(bytes)));
  const faults: string[] = [];
  if ('refusal' in ours && !isRangeError(ours.refusal)) faults.push(`threw ${String(ours.refusal)}`);
  if (hasOneMeaning(bytes)) {
    if ('refusal' in ours) faults.push(`refused what has one meaning: ${String(ours.refusal)}`);
    // protobufjs fails on an entry of a map that has no value, which means an empty one.
    else if ('refusal' in theirs) return { outcome: 'one meaning, refused by protobufjs', faults };
    else if (!areEqual(ours.request, theirs.request)) faults.push('the codecs read it differently');
    return { outcome: 'one meaning, read alike', faults };
  }
  if ('refusal' in ours)
    return { outcome: 'refusal' in theirs ? 'refused by both' : 'refused by hand only', faults };
  if ('refusal' in theirs) return { outcome: 'refused by protobufjs only', faults };
  const isAlike = areEqual(ours.request, theirs.request);
  return { outcome: isAlike ? 'several meanings, read alike' : 'several meanings, read differently', faults };
}

/** A stack overflow is a RangeError too, and none of ours. */
function isRangeError(error: unknown): boolean {
  return error instanceof RangeError && error.message.startsWith('Expected');
}

function attempt(read: () => ProcessingRequest | undefined): Reading {
  try {
    return { request: read() };
  } catch (refusal) {
    return { refusal };
  }
}

function areEqual(ours: ProcessingRequest | undefined, theirs: ProcessingRequest | undefined): boolean {
  return isDeepStrictEqual(plainRequest(ours), plainRequest(theirs));
}

/** As plain data, where absent and empty are one. */
function plainRequest(request: ProcessingRequest | undefined): unknown {
  if (request === undefined) return undefined;
  return {
    ...request,
    metadata: plainStructs(request.metadata),
    attributes: plainStructs(request.attributes),
    ...(request.kind === 'headers' ? { headers: [...request.headers] } : {}),
    ...(request.kind === 'body' ? { body: Buffer.from(request.body).toString('hex') } : {}),
  };
}

function plainStructs(structs: Metadata | undefined): unknown {
  return Object.entries(structs ?? {}).map(([key, struct]) => [key, plainStruct(struct)]);
}

function plainStruct({ fields }: Struct): unknown {
  return Object.entries(fields ?? {}).map(([key, value]) => [key, plainValue(value)]);
}

function plainValue({ stringValue, structValue, listValue }: StructValue): unknown {
  if (structValue !== undefined) return { struct: plainStruct(structValue) };
  if (listValue !== undefined) return { list: (listValue.values ?? []).map(plainValue) };
  return stringValue ?? null;
}
