/** What a request for a state takes of its tokens' states: the last one, the first one, or their mean. */
export type PoolingType = 'last' | 'cls' | 'mean';

interface Progress {
  readonly length: number;
  readonly computed: number;
  readonly scheduled: number;
}

/**
 * Gathers the state of one prompt while it is computed, in whatever parts. States of tokens that come from the
 * prefix cache are not known, so `mean` and `cls` compute those that they need. Sums are in float64 and in the order
 * of the tokens: the same for any parts.
 */
export class PooledState {
  readonly #type: PoolingType;
  #sum: Float64Array | undefined;
  /** Tokens from the first on whose states are in the sum; with `last` and `cls`, 1 at the end. */
  #taken = 0;

  constructor(type: PoolingType) {
    this.#type = type;
  }

  /** Tokens before this one may come from cache. */
  firstNeeded(length: number): number {
    if (this.#type === 'last' || (this.#type === 'cls' && this.#taken > 0)) return length - 1;
    return Math.min(this.#taken, length - 1);
  }

  /** Positions whose states are wanted from this step: from `first`, `count` of them. */
  positions({ length, computed, scheduled }: Progress): { readonly first: number; readonly count: number } {
    const end = computed + scheduled;
    switch (this.#type) {
      case 'last':
        return { first: length - 1, count: end === length ? 1 : 0 };
      case 'cls':
        return { first: 0, count: computed === 0 && this.#taken === 0 ? 1 : 0 };
      case 'mean': {
        const first = Math.max(computed, this.#taken);
        return { first, count: Math.max(0, end - first) };
      }
    }
  }

  /** Adds the states of the positions that were wanted: `[count, hiddenSize]`. */
  add(states: Float32Array, count: number): void {
    if (count === 0) return;
    const size = states.length / count;
    this.#sum ??= new Float64Array(size);
    const sum = this.#sum;
    for (let i = 0; i < states.length; i++) sum[i % size]! += states[i]!;
    this.#taken += count;
  }

  /** `[hiddenSize]`; once the prompt is computed. */
  get state(): Float32Array {
    return Float32Array.from(this.#sum ?? [], (value) => value / this.#taken);
  }
}
