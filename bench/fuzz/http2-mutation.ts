import type { Dice } from './dice.ts';
import { type Conversation, frame, splitFrames, uint32 } from './http2-conversation.ts';

type Mutation = (parts: Buffer[], dice: Dice, other: Conversation) => void;

const somewhere = (parts: readonly Buffer[], dice: Dice): number =>
  1 + dice.below(Math.max(1, parts.length - 1));

/** What an attacker, a broken peer or a broken middle box may do to a conversation; each changes it in place. */
const mutations: Readonly<Record<string, Mutation>> = {
  'flip bits': (parts, dice) => {
    for (let i = 1 + dice.below(8); i > 0; i--) {
      const at = dice.below(parts.length);
      const bytes = Buffer.from(parts[at]!);
      if (bytes.length > 0) bytes[dice.below(bytes.length)]! ^= 1 << dice.below(8);
      parts[at] = bytes;
    }
  },
  truncate: (parts, dice) => {
    const at = dice.below(parts.length);
    parts[at] = parts[at]!.subarray(0, dice.below(parts[at]!.length + 1));
    if (dice.chance(0.5)) parts.length = at + 1;
  },
  splice: (parts, dice, other) => {
    const at = somewhere(parts, dice);
    parts.splice(at, dice.below(3), ...other.slice(somewhere(other, dice)));
  },
  'lie about length': (parts, dice) => {
    const at = somewhere(parts, dice);
    const bytes = Buffer.from(parts[at] ?? frame(6, 0, 0));
    if (bytes.length < 3) return;
    const length = bytes.readUIntBE(0, 3);
    const lies = [0, length + 1, Math.max(0, length - 1), dice.below(16_384), dice.below(1 << 24)];
    bytes.writeUIntBE(dice.oneOf(lies), 0, 3);
    parts[at] = bytes;
  },
  reorder: (parts, dice) => {
    for (let i = 1 + dice.below(4); i > 0; i--) {
      const [moved] = parts.splice(somewhere(parts, dice), 1);
      if (moved !== undefined) parts.splice(somewhere(parts, dice), 0, moved);
    }
  },
  'corrupt a header block': (parts, dice) => {
    const blocks = parts.flatMap((part, at) =>
      part.length > 9 && (part[3] === 1 || part[3] === 9) ? [at] : [],
    );
    if (blocks.length === 0) return;
    const at = dice.oneOf(blocks);
    const part = parts[at]!;
    const place = 9 + dice.below(part.length - 9);
    const inserted = dice.chance(0.5) ? dice.bytes(1 + dice.below(6)) : dice.oneOf(hpackCorruptions);
    const payload = [part.subarray(9, place), inserted, part.subarray(place + dice.below(3))];
    parts[at] = frame(part[3]!, part[4]!, part.readUInt32BE(5), Buffer.concat(payload));
  },
  repeat: (parts, dice) => {
    const at = somewhere(parts, dice);
    const part = parts[at];
    if (part === undefined) return;
    const times = dice.chance(0.1) ? 300 : 1 + dice.below(20);
    parts.splice(at, 0, ...Array.from({ length: times }, () => part));
  },
  'huge windows': (parts, dice) => {
    const stream = dice.oneOf([0, 1, 3]);
    const increment = dice.oneOf([0, 1, 0x7fff_ffff, 0xffff_ffff, 0x7fff_0000, dice.below(2 ** 31)]);
    const windowSetting = Buffer.concat([Buffer.from([0, 4]), uint32(increment)]);
    parts.splice(
      somewhere(parts, dice),
      0,
      dice.chance(0.5) ? frame(8, 0, stream, uint32(increment)) : frame(4, 0, 0, windowSetting),
    );
  },
  'change type, flags or stream': (parts, dice) => {
    const at = somewhere(parts, dice);
    const bytes = Buffer.from(parts[at] ?? frame(6, 0, 0));
    if (bytes.length < 9) return;
    dice.oneOf([
      () => (bytes[3] = dice.below(11)),
      () => (bytes[4] = dice.below(256)),
      () => bytes.writeUInt32BE(dice.oneOf([0, 1, 2, 3, 5, 7, 101, 0x7fff_ffff, 0xffff_ffff]), 5),
    ])();
    parts[at] = bytes;
  },
  'insert a frame of any bytes': (parts, dice) => {
    const payload = dice.bytes(dice.below(40));
    parts.splice(somewhere(parts, dice), 0, frame(dice.below(12), dice.below(256), dice.below(8), payload));
  },
};

const hpackCorruptions = [
  Buffer.from([0x80]),
  Buffer.from([0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
  Buffer.from([0x7f, 0xff, 0xff, 0x0f]),
  Buffer.from([0x3f, 0xff, 0xff, 0x03]),
  Buffer.from([0x00, 0xff, 0xff, 0xff, 0x7f]),
  Buffer.from([0x40, 0x84, 0xff, 0xff, 0xff, 0xff]),
  Buffer.from([0xbe, 0xbe, 0xbe, 0xbe, 0xbe, 0xbe]),
];

export interface Mutated {
  /** Names of what was done; empty for a conversation left as it was. */
  readonly kinds: readonly string[];
  /** The byte stream, cut anywhere. */
  readonly chunks: readonly Buffer[];
}

/** A conversation with 0 to 3 mutations, cut at random places. */
export function mutate(conversation: Conversation, other: Conversation, dice: Dice): Mutated {
  const kinds: string[] = [];
  let parts = [...conversation];
  if (!dice.chance(0.02)) {
    for (let i = 1 + dice.below(3); i > 0; i--) {
      const kind = dice.oneOf(Object.keys(mutations));
      kinds.push(kind);
      mutations[kind]!(parts, dice, other);
      // A lie about one length moves all frames behind it; further mutations see what the server will see.
      if (kind === 'lie about length' && dice.chance(0.5)) parts = splitFrames(Buffer.concat(parts));
    }
  }
  return { kinds, chunks: cut(Buffer.concat(parts), dice) };
}

function cut(bytes: Buffer, dice: Dice): Buffer[] {
  const chunks: Buffer[] = [];
  const largest = dice.oneOf([1, 9, 100, 5000, bytes.length + 1]);
  // Byte by byte only at the beginning: where frames of a long stream are cut does not matter as often.
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + dice.below(chunks.length > 300 ? bytes.length : largest);
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
}
