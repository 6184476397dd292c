/**
 * Follows brackets and strings of Python through text that comes in pieces.
 *
 *   outside ──'──▶ opened ──x──▶ short ──'──▶ outside
 *                     └──'──▶ empty ──'──▶ long ──'''──▶ outside
 */
export class PythonSpan {
  #depth = 0;
  #state: 'outside' | 'opened' | 'empty' | 'short' | 'long' = 'outside';
  #quote = '';
  #isEscaped = false;
  #closing = 0;

  /** The next character stands in no bracket and in no string, unless it makes `''` the opening of a long one. */
  get isOutside(): boolean {
    return this.#depth === 0 && (this.#state === 'outside' || this.#state === 'empty');
  }

  /** Reads one character. */
  step(character: string): void {
    const isQuote = character === this.#quote;
    switch (this.#state) {
      case 'empty':
        if (isQuote) {
          this.#state = 'long';
          this.#closing = 0;
          return;
        }
        this.#state = 'outside';
        break;
      case 'opened':
        this.#state = isQuote ? 'empty' : 'short';
        this.#isEscaped = character === '\\';
        return;
      case 'short':
      case 'long':
        this.#inString(character, isQuote);
        return;
      case 'outside':
    }
    if (character === '"' || character === "'") {
      this.#state = 'opened';
      this.#quote = character;
    } else if ('([{'.includes(character)) this.#depth++;
    else if (')]}'.includes(character)) this.#depth--;
  }

  #inString(character: string, isQuote: boolean): void {
    const isPlainQuote = isQuote && !this.#isEscaped;
    this.#isEscaped = character === '\\' && !this.#isEscaped;
    this.#closing = isPlainQuote ? this.#closing + 1 : 0;
    if (isPlainQuote && (this.#state === 'short' || this.#closing === 3)) this.#state = 'outside';
  }
}
