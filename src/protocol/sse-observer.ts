import { bufferView } from './buffer-view.ts';
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
  /** Where `"usage"` occurs next in `#usageIn`; one search serves all events of a chunk. */
  #usageAt = 0;
  #usageIn: Buffer | undefined;

  push(chunk: Uint8Array): boolean {
    const hadFirstToken = this.hasFirstToken;
    this.#scanner.push(bufferView(chunk));
    this.#usageIn = undefined;
    return !hadFirstToken && this.hasFirstToken;
  }

  end(): void {
    this.#scanner.end();
    this.#usageIn = undefined;
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
      this.#holdsUsage(bytes, start, end) ||
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

  #holdsUsage(bytes: Buffer, start: number, end: number): boolean {
    // Carried events start at 0, and their memory is used again with other contents.
    if (start === 0 || this.#usageIn !== bytes || this.#usageAt < start) {
      this.#usageIn = bytes;
      this.#usageAt = nextIndex(bytes, usageKey, start);
    }
    if (this.#usageAt >= end) return false;
    return !isNullMember(bytes, this.#usageAt + usageKey.length);
  }
}

const usageKey = Buffer.from('"usage"');
const errorKey = Buffer.from('{"error"');
const doneMark = Buffer.from('[DONE]');

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
  const text = bytes.toString('latin1', start, Math.min(end, start + 64));
  return /message_stop|"error"|^\{"response"|response\.(completed|incomplete|failed)/.test(text);
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

function nextIndex(bytes: Buffer, needle: Buffer, from: number): number {
  const index = bytes.indexOf(needle, from);
  return index === -1 ? Number.POSITIVE_INFINITY : index;
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
