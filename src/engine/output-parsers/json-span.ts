/**
 * Finds the end of one JSON value in text that comes in pieces. It follows brackets and strings, no more:
 * whether the value is valid is for whoever parses it.
 */
export class JsonSpan {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  /** How deep in brackets the next character is; 0 before the value and after it. */
  get depth(): number {
    return this.#depth;
  }

  get isInString(): boolean {
    return this.#isInString;
  }

  /** Reads one character. */
  step(character: string): void {
    if (this.#isInString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (character === '\\') this.#isEscaped = true;
      else if (character === '"') this.#isInString = false;
    } else if (character === '"') this.#isInString = true;
    else if (character === '{' || character === '[') this.#depth++;
    else if (character === '}' || character === ']') this.#depth--;
  }
}
