import type { Sequence } from './sequence.ts';
import type { StructuredText } from './structured-output/index.ts';

/** The masks of one step: one bit per token of the vocabulary, set if it may be chosen. */
export class TokenMasks {
  /** `[count, ceil(vocabSize / 32)]`, may be longer; another array once it has grown. */
  words = new Uint32Array(0);
  count = 0;
  readonly #perMask: number;
  readonly #eosTokenIds: ReadonlySet<number>;
  /** By the mask of the state: sequences in the same state of a structure share one. */
  readonly #byState = new Map<Uint32Array, number>();

  constructor(vocabSize: number, eosTokenIds: ReadonlySet<number>) {
    this.#perMask = Math.ceil(vocabSize / 32);
    this.#eosTokenIds = eosTokenIds;
  }

  clear(): void {
    this.count = 0;
    this.#byState.clear();
  }

  /** Index of the mask of what the sequence may say next, -1 if it may say anything. */
  indexFor({ structured, sampling: { allowedTokenIds } }: Sequence): number {
    if (structured === undefined) return allowedTokenIds === undefined ? -1 : this.#allow(allowedTokenIds);
    const { mask } = structured;
    const known = allowedTokenIds === undefined ? this.#byState.get(mask) : undefined;
    const index = known ?? this.#fit(structured, mask);
    if (allowedTokenIds === undefined) this.#byState.set(mask, index);
    else this.#intersect(index, this.#allow(allowedTokenIds));
    return index;
  }

  #allow(tokenIds: readonly number[]): number {
    const index = this.#begin();
    for (const tokenId of tokenIds) this.#set(index, tokenId);
    return index;
  }

  /**
   * What fits the structure; text may end only where the structure may. If no token fits (the vocabulary cannot
   * write what must come), the text ends.
   */
  #fit(structured: StructuredText, mask: Uint32Array): number {
    const index = this.#begin();
    // The tokenizer may know more tokens than the model, or fewer.
    this.words.set(mask.subarray(0, this.#perMask), index * this.#perMask);
    if (structured.mayEnd || mask.every((bits) => bits === 0))
      for (const tokenId of this.#eosTokenIds) this.#set(index, tokenId);
    return index;
  }

  /** The first mask keeps what the latest has too; the latest is given up. */
  #intersect(index: number, latest: number): void {
    const [own, other] = [index * this.#perMask, latest * this.#perMask];
    for (let i = 0; i < this.#perMask; i++) this.words[own + i]! &= this.words[other + i]!;
    this.count--;
  }

  #set(index: number, tokenId: number): void {
    this.words[index * this.#perMask + (tokenId >>> 5)]! |= 1 << (tokenId & 31);
  }

  /** An empty mask: no token may come. */
  #begin(): number {
    const index = this.count++;
    const needed = this.count * this.#perMask;
    if (needed > this.words.length) {
      const longer = new Uint32Array(2 * needed);
      longer.set(this.words);
      this.words = longer;
    }
    this.words.fill(0, index * this.#perMask, needed);
    return index;
  }
}
