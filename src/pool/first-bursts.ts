import type { PrefillBurst } from './prefill-rate.ts';

/** Between an 8B model on an H100 (0.026) and a 70B one on four (0.058); it weighs like so many tokens. */
const guessMsPerToken = 0.04;
const guessTokens = 256;
const mostBursts = 8;

/**
 * The prefill rate of a pool from the first bursts that its engines have shown. Engines differ by a hundred times
 * (a GPU 0.03 ms a token, a processor core 0.25 to 2), so the first burst replaces the guess. The median over tokens
 * bears what often goes wrong at first: kernels compiled for the first prompt, or prompts cached before we came.
 */
export class FirstBursts {
  readonly #bursts: PrefillBurst[] = [];

  get count(): number {
    return this.#bursts.length;
  }

  get isFull(): boolean {
    return this.#bursts.length >= mostBursts;
  }

  add(burst: PrefillBurst): void {
    this.#bursts.push(burst);
  }

  /** The lower weighted median, milliseconds per token. */
  get msPerToken(): number {
    const rates = [
      { rate: guessMsPerToken, tokens: guessTokens },
      ...this.#bursts.map(({ tokens, elapsedMs }) => ({ rate: elapsedMs / tokens, tokens })),
    ].sort((a, b) => a.rate - b.rate);
    const half = rates.reduce((sum, { tokens }) => sum + tokens, 0) / 2;
    let below = 0;
    for (const { rate, tokens } of rates) {
      below += tokens;
      if (below >= half) return rate;
    }
    return guessMsPerToken;
  }
}
