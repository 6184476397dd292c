import { bufferView } from './buffer-view.ts';
import { NextByte } from './next-byte.ts';
import type { ObservedResponse } from './observed-response.ts';
import type { Usage } from './response-observer.ts';
import { SseScanner, type SseSink } from './sse-scanner.ts';
import { streamEventKind } from './stream-event.ts';
import { field, mergeUsage, readUsage } from './usage.ts';

/**
 * Watches server-sent events. Until the first token every event is parsed; afterwards only those that hold
 * `"usage"`, an error, or the end, found by their bytes.
 */
export class SseObserver implements ObservedResponse, SseSink {
  hasFirstToken = false;
  events = 0;
  isComplete = false;
  usage: Usage | undefined;
  errorMessage: string | undefined;
  readonly #scanner = new SseScanner(this);

  push(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    const hadFirstToken = this.hasFirstToken;
    // Whole chunks may come in memory that is used again; of a part of a read, others have seen what is before it.
    if (start === 0) rareBytes.forget();
    this.#scanner.push(bufferView(bytes), start, end);
    return !hadFirstToken && this.hasFirstToken;
  }

  end(): void {
    this.#scanner.end();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (isDone(bytes, start, end)) {
      this.isComplete = true;
      return;
    }
    if (start === end) return;
    this.events += 1;
    const isWorthParsing =
      !this.hasFirstToken ||
      holdsUsage(bytes, start, end) ||
      startsWithError(bytes, start) ||
      mayBeLast(bytes, start, end);
    if (isWorthParsing) this.#read(parse(bytes.toString('utf8', start, end)));
  }

  onOversized(): void {
    this.events += 1;
    this.hasFirstToken = true; // nothing but content grows that long
  }

  #read(event: unknown): void {
    const type = field(event, 'type');
    const response = field(event, 'response');
    this.errorMessage ??= errorMessage(
      field(event, 'error') ?? field(response, 'error') ?? (type === 'error' ? event : undefined),
    );
    if (!this.hasFirstToken && this.errorMessage === undefined) {
      const kind = streamEventKind(event);
      this.hasFirstToken = kind === 'token' || (kind === 'unknown' && this.events > 1);
    }
    if (typeof type === 'string' && lastTypes.has(type)) this.isComplete = true;
    // OpenAI: `usage`; Responses API: `response.usage`; Anthropic: `message.usage`, then `usage`.
    const usage = field(event, 'usage') ?? field(response ?? field(event, 'message'), 'usage');
    this.usage = mergeUsage(this.usage, readUsage(usage));
  }
}

const usageKey = Buffer.from('"usage"');
/** Its rarest letter in the events of engines, and where that stands. */
const rareByte = 0x67;
const rareAt = usageKey.indexOf(rareByte);
/** One for all streams, as they share what was read. */
const rareBytes = new NextByte(rareByte);
const errorKey = Buffer.from('{"error"');
const doneMark = Buffer.from('[DONE]');
/** Of Anthropic's Messages: nearly all events of an answer, which need no closer look. */
const contentDelta = Buffer.from('{"type":"content_block_delta",');

/** Ends of the protocols without `[DONE]`. */
const lastTypes: ReadonlySet<string> = new Set([
  'response.completed',
  'response.incomplete',
  'response.failed',
  'message_stop',
]);

function isDone(bytes: Buffer, start: number, end: number): boolean {
  return bytes[start] === 0x5b && end - start === doneMark.length && startsWith(bytes, start, doneMark);
}

function startsWithError(bytes: Buffer, start: number): boolean {
  return bytes[start + 2] === 0x65 && startsWith(bytes, start, errorKey);
}

/** `{"type":"message_stop"}` and errors with a `type` are short, and so is `response.failed` without usage. */
function mayBeLast(bytes: Buffer, start: number, end: number): boolean {
  // `{"t` or `{"r`: an object whose first member may be `type` or `response`.
  const third = bytes[start + 2];
  if (third !== 0x74 && third !== 0x72) return false;
  if (startsWith(bytes, start, contentDelta)) return false;
  const text = bytes.toString('latin1', start, Math.min(end, start + 64));
  return /message_stop|"error"|^\{"response"|response\.(completed|incomplete|failed)/.test(text);
}

/**
 * Whether `"usage"` is in the event, and not null. One byte is looked for, not the key: the search for a text takes half
 * a microsecond a chunk, more than all else that is done with it.
 */
function holdsUsage(bytes: Buffer, start: number, end: number): boolean {
  // Carried events start at 0, in memory that is used again.
  if (start === 0) rareBytes.forget();
  let at = rareBytes.find(bytes, start + rareAt);
  while (at < end) {
    const keyStart = at - rareAt;
    const keyEnd = keyStart + usageKey.length;
    if (keyEnd <= end && startsWith(bytes, keyStart, usageKey)) return !isNullMember(bytes, keyEnd);
    at = rareBytes.find(bytes, at + 1);
  }
  return false;
}

/** Engines that are asked for usage send `"usage":null` in every other event. */
function isNullMember(bytes: Buffer, afterKey: number): boolean {
  let at = afterKey;
  while (bytes[at] === 0x3a || bytes[at] === 0x20) at += 1;
  return bytes[at] === 0x6e;
}

function startsWith(bytes: Buffer, start: number, prefix: Buffer): boolean {
  for (let index = 0; index < prefix.length; index += 1) {
    if (bytes[start + index] !== prefix[index]) return false;
  }
  return true;
}

function errorMessage(error: unknown): string | undefined {
  if (error === undefined || error === null) return undefined;
  const message = typeof error === 'string' ? error : field(error, 'message');
  return typeof message === 'string' ? message : 'an error without a message';
}

/** An event that is not JSON is let pass: it still counts. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
