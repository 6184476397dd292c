import { bufferView } from './buffer-view.ts';
import { JsonSyntaxError, scanJson } from './json-scan.ts';
import type { ObservedResponse } from './observed-response.ts';
import type { Usage } from './response-observer.ts';
import { readUsage } from './usage.ts';

/** Bytes kept of a body: enough for a usual answer, and for the `usage` at the end of a long one. */
const tailLimitBytes = 64 * 1024;

const usageKey = Buffer.from('"usage"');
const usageKeys: ReadonlySet<string> = new Set(['usage']);

/**
 * Reads `usage` of a JSON body. A body within the limit is read exactly; of a longer one only the tail is kept,
 * and the last `"usage": {…}` in it is taken. Chunks are kept, not copied, until the end. A body has no first token: it tells nothing before its end.
 */
export class JsonObserver implements ObservedResponse {
  readonly hasFirstToken = false;
  readonly events = 0;
  readonly errorMessage = undefined;
  usage: Usage | undefined;
  isComplete = false;
  #chunks: Uint8Array[] = [];
  #keptBytes = 0;
  #totalBytes = 0;

  push(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    const chunk = end - start === bytes.length ? bytes : bytes.subarray(start, end);
    this.#chunks.push(chunk);
    this.#keptBytes += chunk.length;
    this.#totalBytes += chunk.length;
    while (this.#chunks.length > 1 && this.#keptBytes - this.#chunks[0]!.length >= tailLimitBytes) {
      this.#keptBytes -= this.#chunks.shift()!.length;
    }
    return false;
  }

  end(): void {
    const [first] = this.#chunks;
    if (first === undefined) return;
    const kept = this.#chunks.length === 1 ? bufferView(first) : Buffer.concat(this.#chunks);
    this.#chunks = [];
    if (this.#totalBytes <= tailLimitBytes) this.#readWhole(kept);
    else this.#readTail(kept.subarray(-tailLimitBytes));
  }

  #readWhole(body: Buffer): void {
    try {
      const range = scanJson(body, { keys: usageKeys }).members.get('usage');
      this.isComplete = true;
      if (range?.type === 'object') {
        this.usage = readUsage(JSON.parse(body.toString('utf8', range.start, range.end)));
      }
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error; // a broken body is simply not complete
    }
  }

  #readTail(tail: Buffer): void {
    const key = tail.lastIndexOf(usageKey);
    const afterKey = key === -1 ? '' : tail.toString('utf8', key + usageKey.length);
    this.usage = readUsage(leadingObject(afterKey.replace(/^\s*:\s*/, '')));
    this.isComplete = tail.toString().trimEnd().endsWith('}');
  }
}

/** The object that a text begins with, or undefined. Usage objects hold no strings, so braces can be counted. */
function leadingObject(text: string): unknown {
  if (!text.startsWith('{')) return undefined;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    if (text[at] === '}') depth -= 1;
    if (depth === 0) {
      try {
        return JSON.parse(text.slice(0, at + 1));
      } catch {
        return undefined; // not an object after all: then no usage is known
      }
    }
  }
  return undefined;
}
