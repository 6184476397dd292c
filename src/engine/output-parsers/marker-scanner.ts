/** Text up to a marker, and the marker if it has come. */
export interface MarkerScan {
  readonly text: string;
  readonly isFound: boolean;
  readonly marker: string | undefined;
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

  /** Everything up to the first of the markers, which is dropped; or all that cannot be a part of one. */
  until(...markers: readonly string[]): MarkerScan {
    let first = Number.POSITIVE_INFINITY;
    let found: string | undefined;
    for (const marker of markers) {
      const at = this.#held.indexOf(marker);
      if (at < 0 || at >= first) continue;
      first = at;
      found = marker;
    }
    if (found !== undefined) return { text: this.#take(first, found.length), isFound: true, marker: found };
    const kept = Math.max(...markers.map((marker) => this.#begun(marker)));
    return { text: this.#take(this.#held.length - kept), isFound: false, marker: undefined };
  }

  /** Characters at the end that may be the beginning of the marker. */
  #begun(marker: string): number {
    let length = Math.min(marker.length - 1, this.#held.length);
    while (length > 0 && !marker.startsWith(this.#held.slice(-length))) length--;
    return length;
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
