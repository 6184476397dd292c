/**
 * Texts as one text, each behind its length, so that a whole list crosses in one native call. Lengths are ASCII
 * characters: one below 127, else 127 and four of 7 bits each.
 */
const longMark = 0x7f;
const longDigits = 4;

/** `list` with one more text. */
export function appendText(list: string, text: string): string {
  const { length } = text;
  if (length < longMark) return list + String.fromCharCode(length) + text;
  const digits = String.fromCharCode(
    longMark,
    (length >> 21) & 0x7f,
    (length >> 14) & 0x7f,
    (length >> 7) & 0x7f,
    length & 0x7f,
  );
  return list + digits + text;
}

/** Walks through such a list. Throws a `RangeError` beyond its end. */
export class TextListReader {
  readonly #list: string;
  #at: number;

  constructor(list: string, at = 0) {
    this.#list = list;
    this.#at = at;
  }

  /** Where the next one begins. */
  get at(): number {
    return this.#at;
  }

  next(): string {
    const length = this.#length();
    const start = this.#at;
    this.#at = start + length;
    return this.#list.slice(start, this.#at);
  }

  /** Passes over the next one; true if it is `text`. */
  isNext(text: string): boolean {
    const length = this.#length();
    const start = this.#at;
    this.#at = start + length;
    return length === text.length && this.#list.startsWith(text, start);
  }

  skip(): void {
    const length = this.#length();
    this.#at += length;
  }

  #length(): number {
    const first = this.#list.charCodeAt(this.#at++);
    let length = first;
    if (first === longMark) {
      length = 0;
      for (let i = 0; i < longDigits; i++) length = length * 128 + this.#list.charCodeAt(this.#at++);
    }
    // A character code beyond the end is NaN.
    if (this.#at + length <= this.#list.length) return length;
    throw new RangeError('Expected another text in the list, found its end.');
  }
}
