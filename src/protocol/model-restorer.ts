/**
 * Gives a client back its own name for the model in a response that names the engine's. Works on JSON and on
 * server-sent events, wherever chunks are cut; only the `model` of a document or event itself is changed (or of its
 * `response` or `message`, where Responses and Messages have it), never text inside content, and only if it is
 * exactly the engine's name. Bytes pass at once, but for a name that a chunk cuts in two.
 */
import { isJsonType, mediaType } from './media-type.ts';

export interface ModelNames {
  /** What the client calls the model; undefined if it named none. */
  readonly clientModel: string | undefined;
  /** What the engine calls it. */
  readonly model: string;
}

/** Undefined when nothing is to be restored, or the bytes could not be read. */
export function restoreModel(
  names: ModelNames | undefined,
  contentType: string | undefined,
  contentEncoding: string | undefined,
): ModelRestorer | undefined {
  if (names?.clientModel === undefined || names.clientModel === names.model) return undefined;
  if (contentEncoding !== undefined && contentEncoding !== 'identity') return undefined;
  const type = mediaType(contentType);
  if (type === 'text/event-stream') return new ModelRestorer(names.model, names.clientModel, true);
  return isJsonType(type) ? new ModelRestorer(names.model, names.clientModel, false) : undefined;
}

/** Where in a line of an event stream the next byte is; JSON is one long `data`. */
type Place = 'name' | 'data' | 'other';
/** What the string that is being read is. */
type StringUse = 'none' | 'text' | 'key' | 'model';
type Key = 'model' | 'envelope' | 'other';

const nothing = Buffer.alloc(0);
const dataName = Buffer.from('data:');

export class ModelRestorer {
  readonly #model: string;
  readonly #replacement: Buffer;
  readonly #isEventStream: boolean;
  /** A longer string cannot be the name, however it is escaped. */
  readonly #longestName: number;

  #place: Place;
  /** Bytes of `data:` that the line has begun with. */
  #nameLength = 0;
  #isLineEmpty = true;

  #depth = 0;
  /** Whether the containers at depth 1 and 2 are objects, and their last keys. */
  readonly #isObject: [boolean, boolean, boolean] = [false, false, false];
  readonly #keys: [Key, Key, Key] = ['other', 'other', 'other'];
  #isKeyNext = false;
  #string: StringUse = 'none';
  #isEscaped = false;
  /** Whether `#passString` has come to the closing quote. */
  #hasClosed = false;
  #key = '';
  /** The beginning of a name that the last chunk cut. */
  #held = nothing;

  constructor(model: string, clientModel: string, isEventStream: boolean) {
    this.#model = model;
    this.#replacement = Buffer.from(JSON.stringify(clientModel));
    this.#isEventStream = isEventStream;
    this.#longestName = 2 + 6 * model.length;
    this.#place = isEventStream ? 'name' : 'data';
  }

  /** What of the chunk, and of what was held before it, can go on; the chunk itself if nothing is changed. */
  push(chunk: Buffer): Buffer {
    const pieces: Buffer[] = [];
    if (this.#held.length > 0) pieces.push(this.#held);
    const held = this.#held.length;
    this.#held = nothing;
    let passed = 0;
    /** Where the name begins: behind the opening quote's place; negative when that was in a chunk before. */
    let nameStart = -held;
    let at = 0;
    while (at < chunk.length) {
      if (this.#place !== 'data') {
        at = this.#passLineStart(chunk, at);
        continue;
      }
      const byte = chunk[at]!;
      if (byte === lineFeed && this.#isEventStream) {
        this.#endLine();
        at += 1;
      } else if (this.#string === 'none') {
        if (byte === quote) {
          if (this.#openString() === 'model') nameStart = at;
        } else if (!isSpace(byte)) {
          this.#isLineEmpty = false;
          this.#structure(byte);
        }
        at += 1;
      } else {
        at = this.#passString(chunk, at);
        if (!this.#hasClosed) continue;
        if (this.#string === 'model') {
          const begun = nameStart < 0 ? pieces.pop()! : nothing;
          const raw = Buffer.concat([begun, chunk.subarray(Math.max(0, nameStart), at)]);
          if (nameStart > passed) pieces.push(chunk.subarray(passed, nameStart));
          pieces.push(this.#isName(raw) ? this.#replacement : raw);
          passed = at;
        }
        this.#closeString();
      }
    }
    return this.#output(chunk, pieces, passed, nameStart);
  }

  /** What is still held when the response ends within a name. */
  end(): Buffer {
    const held = this.#held;
    this.#held = nothing;
    return held;
  }

  #output(chunk: Buffer, pieces: Buffer[], passed: number, nameStart: number): Buffer {
    if (this.#string !== 'model') {
      if (pieces.length === 0) return chunk;
      pieces.push(chunk.subarray(passed));
      return Buffer.concat(pieces);
    }
    const begun = nameStart < 0 ? pieces.pop()! : nothing;
    const from = Math.max(0, nameStart);
    if (from > passed) pieces.push(chunk.subarray(passed, from));
    const name = Buffer.concat([begun, chunk.subarray(from)]);
    if (name.length <= this.#longestName) this.#held = name;
    else {
      this.#string = 'text';
      pieces.push(name);
    }
    return Buffer.concat(pieces);
  }

  /** Up to the value of a `data` field, or over the line if it is another field. */
  #passLineStart(chunk: Buffer, from: number): number {
    if (this.#place === 'other') {
      const end = chunk.indexOf(lineFeed, from);
      if (end === -1) return chunk.length;
      this.#endLine();
      return end + 1;
    }
    const byte = chunk[from]!;
    if (byte === lineFeed) this.#endLine();
    else if (byte === dataName[this.#nameLength]) {
      this.#isLineEmpty = false;
      this.#nameLength += 1;
      if (this.#nameLength === dataName.length) this.#place = 'data';
    } else if (byte !== carriageReturn || this.#nameLength > 0) {
      this.#isLineEmpty = false;
      this.#place = 'other';
    }
    return from + 1;
  }

  /** An empty line ends the event; a string that a line ends in is broken, and so is all until then. */
  #endLine(): void {
    if (this.#isLineEmpty || this.#string !== 'none') {
      this.#depth = 0;
      this.#string = 'none';
      this.#isKeyNext = false;
    }
    this.#isLineEmpty = true;
    this.#nameLength = 0;
    this.#place = 'name';
  }

  #passString(chunk: Buffer, from: number): number {
    let at = from;
    this.#hasClosed = false;
    if (this.#isEscaped) {
      this.#isEscaped = false;
      at += 1;
    }
    while (at < chunk.length) {
      const byte = chunk[at]!;
      if (byte === quote) {
        if (this.#string === 'key') this.#addToKey(chunk, from, at);
        this.#hasClosed = true;
        return at + 1;
      }
      if (byte === backslash) {
        if (at + 1 === chunk.length) this.#isEscaped = true;
        at += 2;
      } else if (byte === lineFeed && this.#isEventStream) break;
      else at += 1;
    }
    if (this.#string === 'key') this.#addToKey(chunk, from, at);
    return Math.min(at, chunk.length);
  }

  #addToKey(chunk: Buffer, from: number, to: number): void {
    if (this.#key.length < longestKey)
      this.#key += chunk.toString('latin1', from, Math.min(to, from + longestKey));
  }

  #openString(): StringUse {
    this.#isLineEmpty = false;
    this.#key = '';
    this.#string = this.#useOfString();
    return this.#string;
  }

  #useOfString(): StringUse {
    if (!this.#isWatched(this.#depth)) return 'text';
    if (this.#isKeyNext) return 'key';
    return this.#keys[this.#depth as 1 | 2] === 'model' ? 'model' : 'text';
  }

  #closeString(): void {
    if (this.#string === 'key') {
      this.#keys[this.#depth as 1 | 2] =
        this.#key === 'model' ? 'model' : envelopes.has(this.#key) ? 'envelope' : 'other';
    }
    this.#string = 'none';
  }

  #structure(byte: number): void {
    switch (byte) {
      case 0x7b: // {
      case 0x5b: // [
        this.#depth += 1;
        if (this.#depth <= 2) {
          this.#isObject[this.#depth as 1 | 2] = byte === 0x7b;
          this.#keys[this.#depth as 1 | 2] = 'other';
        }
        this.#isKeyNext = byte === 0x7b;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        if (this.#depth > 0) this.#depth -= 1;
        this.#isKeyNext = false;
        break;
      case 0x2c: // ,
        this.#isKeyNext = this.#isWatched(this.#depth);
        break;
      case 0x3a: // :
        this.#isKeyNext = false;
        break;
    }
  }

  /** The object whose members may name the model: the document's own, or that of its envelope. */
  #isWatched(depth: number): boolean {
    if (depth === 1) return this.#isObject[1];
    return depth === 2 && this.#isObject[1] && this.#isObject[2] && this.#keys[1] === 'envelope';
  }

  #isName(raw: Buffer): boolean {
    try {
      return JSON.parse(raw.toString()) === this.#model;
    } catch {
      return false; // no string after all: then it is not the name
    }
  }
}

const quote = 0x22;
const backslash = 0x5c;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const envelopes: ReadonlySet<string> = new Set(['message', 'response']);
const longestKey = 16;

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
