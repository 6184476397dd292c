/**
 * Cuts a stream of server-sent events (WHATWG HTML, section 9.2) into the data of its events, wherever the
 * chunks were cut. Lines end in LF or CRLF. Only `data` fields matter here; comments and other fields are passed
 * over. An event that lies in one chunk is told without a copy; the rest is carried, up to a limit.
 */

export interface SseSink {
  /** The data of one event: `bytes[start, end)`, valid only during the call. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** An event with data longer than the limit has gone by. */
  onOversized(): void;
}

const defaultCarryLimitBytes = 256 * 1024;

export class SseScanner {
  readonly #sink: SseSink;
  readonly #limitBytes: number;
  /** The last line, still without its end: bytes, and its whole length, which may be more than is kept. */
  readonly #line = new Carry();
  #lineLength = 0;
  /** Data of the event that is under way and was not dispatched within its chunk. */
  readonly #data = new Carry();
  #hasData = false;
  #isOversized = false;

  constructor(sink: SseSink, limitBytes: number = defaultCarryLimitBytes) {
    this.#sink = sink;
    this.#limitBytes = limitBytes;
  }

  /** The chunk is `bytes[start, end)`. */
  push(bytes: Buffer, start = 0, end = bytes.length): void {
    let at = start;
    if (this.#lineLength > 0) {
      const lineEnd = lineFeedIn(bytes, start, end);
      this.#carryLine(bytes, start, lineEnd === -1 ? end : lineEnd);
      if (lineEnd === -1) return;
      this.#endCarriedLine();
      at = lineEnd + 1;
    }

    // Data of the present event while it is one line of this chunk: nothing is copied. -1 = none.
    let dataStart = -1;
    let dataEnd = -1;
    for (;;) {
      // Most lines end an event or a chunk: found without a search.
      if (at >= end) break;
      const lineEnd = bytes[at] === lf ? at : lineFeedIn(bytes, at, end);
      if (lineEnd === -1) break;
      const textEnd = lineEnd > at && bytes[lineEnd - 1] === cr ? lineEnd - 1 : lineEnd;
      if (textEnd === at) {
        if (dataStart !== -1 && !this.#hasData) this.#sink.onData(bytes, dataStart, dataEnd);
        else this.#dispatch();
        dataStart = -1;
      } else if (lineEnd - at > this.#limitBytes) {
        if (isDataField(bytes, at, textEnd)) this.#oversize();
      } else if (isDataField(bytes, at, textEnd)) {
        if (dataStart !== -1) this.#append(bytes, dataStart, dataEnd);
        dataStart = -1;
        const valueStart = fieldValue(bytes, at, textEnd);
        if (this.#hasData) this.#append(bytes, valueStart, textEnd);
        else {
          dataStart = valueStart;
          dataEnd = textEnd;
        }
      }
      at = lineEnd + 1;
    }
    if (dataStart !== -1) this.#append(bytes, dataStart, dataEnd);
    if (at < end) this.#carryLine(bytes, at, end);
  }

  /** The stream is over. An event without its blank line counts: engines are known to leave it out. */
  end(): void {
    if (this.#lineLength > 0) this.#endCarriedLine();
    this.#dispatch();
  }

  #carryLine(chunk: Buffer, start: number, end: number): void {
    this.#lineLength += end - start;
    const room = this.#limitBytes + 1 - this.#line.length;
    if (room > 0) this.#line.append(chunk, start, Math.min(end, start + room));
  }

  #endCarriedLine(): void {
    const { bytes, length } = this.#line;
    const isTooLong = this.#lineLength > this.#limitBytes;
    const end = !isTooLong && bytes[length - 1] === cr ? length - 1 : length;
    if (end === 0) this.#dispatch();
    else if (isDataField(bytes, 0, end)) {
      if (isTooLong) this.#oversize();
      else this.#append(bytes, fieldValue(bytes, 0, end), end);
    }
    this.#line.clear();
    this.#lineLength = 0;
  }

  /** Adds a line to the event's data; lines are joined with LF. */
  #append(bytes: Buffer, start: number, end: number): void {
    if (this.#data.length + end - start + 1 > this.#limitBytes) {
      this.#oversize();
      return;
    }
    if (this.#hasData) this.#data.append(lineFeed, 0, 1);
    this.#hasData = true;
    if (!this.#isOversized) this.#data.append(bytes, start, end);
  }

  #oversize(): void {
    this.#hasData = true;
    this.#isOversized = true;
    this.#data.clear();
  }

  #dispatch(): void {
    if (!this.#hasData) return;
    if (this.#isOversized) this.#sink.onOversized();
    else this.#sink.onData(this.#data.bytes, 0, this.#data.length);
    this.#hasData = false;
    this.#isOversized = false;
    this.#data.clear();
  }
}

const lf = 0x0a;
const cr = 0x0d;
const colon = 0x3a;
const lineFeed = Buffer.from('\n');
const nothing = Buffer.alloc(0);

/** Bytes that outlive their chunk. Large memory is given back when cleared, as most streams need it once. */
class Carry {
  bytes: Buffer = nothing;
  length = 0;

  append(from: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(512, needed, this.bytes.length * 2));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    from.copy(this.bytes, this.length, start, end);
    this.length = needed;
  }

  clear(): void {
    this.length = 0;
    if (this.bytes.length > 16_384) this.bytes = nothing;
  }
}

/** Below this, a call costs more than the search. */
const shortBytes = 48;

/** Looked up once: V8 does not inline the way to it through a Buffer's prototypes. */
const { indexOf } = Buffer.prototype;

/** -1 if there is none. What follows the chunk in the same memory is mostly another chunk, so one is found soon. */
function lineFeedIn(bytes: Buffer, start: number, end: number): number {
  if (end - start < shortBytes) {
    for (let at = start; at < end; at += 1) if (bytes[at] === lf) return at;
    return -1;
  }
  const at = indexOf.call(bytes, lf, start);
  return at < end ? at : -1;
}

/** `data`, alone or before a colon. */
function isDataField(bytes: Buffer, start: number, end: number): boolean {
  return (
    end - start >= 4 &&
    bytes[start] === 0x64 &&
    bytes[start + 1] === 0x61 &&
    bytes[start + 2] === 0x74 &&
    bytes[start + 3] === 0x61 &&
    (end - start === 4 || bytes[start + 4] === colon)
  );
}

/** Where the value starts: behind the colon and one space. */
function fieldValue(bytes: Buffer, start: number, end: number): number {
  if (end - start <= 5) return end;
  return bytes[start + 5] === 0x20 ? start + 6 : start + 5;
}
