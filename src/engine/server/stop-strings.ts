/** What one piece of text gives: what may be shown, and the stop string that ended the text, if one did. */
export interface StopScan {
  readonly text: string;
  readonly stop: string | undefined;
}

/**
 * Looks for stop strings in a stream of text, across pieces. Text is held back only while it could be the
 * beginning of a stop string. The result does not depend on where the pieces are cut: the stop string that
 * is complete first wins, of several complete at once the longest.
 */
export class StopStrings {
  readonly #stops: readonly string[];
  readonly #isIncluded: boolean;
  #held = '';

  constructor(stops: readonly string[], isIncluded: boolean) {
    this.#stops = stops;
    this.#isIncluded = isIncluded;
  }

  push(piece: string): StopScan {
    if (this.#stops.length === 0) return { text: piece, stop: undefined };
    const text = this.#held + piece;
    const match = this.#firstMatch(text);
    if (match !== undefined) {
      this.#held = '';
      return {
        text: text.slice(0, this.#isIncluded ? match.start + match.stop.length : match.start),
        stop: match.stop,
      };
    }
    const kept = this.#possibleStart(text);
    this.#held = text.slice(kept);
    return { text: text.slice(0, kept), stop: undefined };
  }

  /** The end of the stream: what was held back is ordinary text. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  #firstMatch(text: string): { readonly start: number; readonly stop: string } | undefined {
    let best: { readonly start: number; readonly stop: string } | undefined;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      if (start < 0) continue;
      const end = start + stop.length;
      const bestEnd = best === undefined ? Number.POSITIVE_INFINITY : best.start + best.stop.length;
      if (end < bestEnd || (end === bestEnd && start < best!.start)) best = { start, stop };
    }
    return best;
  }

  /** Where the longest ending begins that is a proper beginning of some stop string. */
  #possibleStart(text: string): number {
    const longest = this.#stops.reduce((most, stop) => Math.max(most, stop.length), 0);
    for (let at = Math.max(0, text.length - longest + 1); at < text.length; at++) {
      const ending = text.slice(at);
      if (this.#stops.some((stop) => stop.startsWith(ending))) return at;
    }
    return text.length;
  }
}
