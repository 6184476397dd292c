import { JsonSpan } from './json-span.ts';

/** What the reader has found so far of `{"name": …, "arguments": {…}}`. */
export interface CallProgress {
  readonly name: string | undefined;
  /** JSON text that is new since the last call. */
  readonly argumentsText: string;
  readonly isComplete: boolean;
  /** How many of the given characters belong to the object. */
  readonly consumed: number;
}

const argumentKeys = new Set(['arguments', 'parameters']);

/**
 * Reads one tool call, a JSON object, while it is being written: the name as soon as it is there, then the
 * arguments as they come. Arguments that precede the name wait for it. Arguments given as a JSON string (some
 * models write them so) count as the text inside.
 */
export class CallReader {
  readonly #span = new JsonSpan();
  /** Everything so far, for callers that find out it was no call. */
  #raw = '';
  #key: string | undefined;
  /** Where the current key or value of the outermost object begins in `#raw`. */
  #start: number | undefined;
  #name: string | undefined;
  #waiting = '';

  get raw(): string {
    return this.#raw;
  }

  push(text: string): CallProgress {
    let consumed = 0;
    let isComplete = false;
    for (const character of text) {
      consumed += character.length;
      this.#step(character);
      if (this.#span.depth === 0 && !this.#span.isInString && this.#raw !== '') {
        isComplete = true;
        break;
      }
    }
    const isReady = this.#name !== undefined;
    const argumentsText = isReady ? this.#waiting : '';
    if (isReady) this.#waiting = '';
    return { name: this.#name, argumentsText, isComplete, consumed };
  }

  #step(character: string): void {
    const before = this.#span.depth;
    const wasInString = this.#span.isInString;
    this.#span.step(character);
    const endsValue =
      before === 1 && !wasInString && (character === ',' || character === '}' || character === ']');
    if (endsValue) this.#endValue();
    const at = this.#raw.length;
    this.#raw += character;
    // Blanks between the parts of the outermost object belong to none of them.
    if (before === 0 || (before === 1 && !wasInString && character.trim() === '')) return;
    if (before === 1 && !wasInString && character === ':' && this.#key === undefined) {
      this.#key = readString(this.#raw.slice(this.#start, at));
      this.#start = undefined;
      return;
    }
    if (endsValue) return;
    this.#start ??= at;
    if (this.#isArguments && this.#raw[this.#start] !== '"') this.#waiting += character;
  }

  get #isArguments(): boolean {
    return this.#key !== undefined && argumentKeys.has(this.#key);
  }

  #endValue(): void {
    const text = this.#start === undefined ? '' : this.#raw.slice(this.#start);
    if (this.#key === 'name') this.#name = readString(text);
    else if (this.#isArguments && text.startsWith('"')) this.#waiting += readString(text) ?? text;
    this.#key = undefined;
    this.#start = undefined;
  }
}

function readString(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : undefined;
  } catch {
    // No string: neither a key nor a name.
    return undefined;
  }
}
