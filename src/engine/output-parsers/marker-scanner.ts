/** Text up to a marker, and the marker if it has come. */
export interface MarkerScan {
  readonly text: string;
  readonly isFound: boolean;
}

/**
 * Looks for markers in text that comes in pieces. Text is given out as soon as it cannot be the beginning of
 * the marker; what follows a marker stays for the next call.
 */
export class MarkerScanner {
  #held = '';

  push(text: string): void {
    this.#held += text;
  }

  /** Everything up to the marker, which is dropped; or all that cannot be a part of it. */
  until(marker: string): MarkerScan {
    const at = this.#held.indexOf(marker);
    if (at >= 0) return { text: this.#take(at, marker.length), isFound: true };
    let kept = Math.min(marker.length - 1, this.#held.length);
    while (kept > 0 && !marker.startsWith(this.#held.slice(-kept))) kept--;
    return { text: this.#take(this.#held.length - kept), isFound: false };
  }

  /** Everything that is held. */
  rest(): string {
    return this.#take(this.#held.length);
  }

  get held(): string {
    return this.#held;
  }

  /** The first `length` characters of what is held; `dropped` more disappear. */
  take(length: number): string {
    return this.#take(length);
  }

  #take(length: number, dropped = 0): string {
    const taken = this.#held.slice(0, length);
    this.#held = this.#held.slice(length + dropped);
    return taken;
  }
}
