import type { PrefixIndex, PrefixMatch } from '../prefix-index/prefix-index.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';
import type { PluginFailure } from '../scheduling/scheduling-result.ts';

type Guarded = Pick<PrefixIndex, 'blockTokens' | 'match' | 'record' | 'release' | 'forget'>;

/**
 * The index as one decision uses it: where it throws, nothing counts as cached, and the decision's failures say
 * so once. A request is worth more than what is known of caches.
 */
export class GuardedIndex implements Guarded {
  readonly blockTokens: number;
  readonly #index: PrefixIndex;
  readonly #failures: PluginFailure[];

  constructor(index: PrefixIndex, failures: PluginFailure[]) {
    this.blockTokens = index.blockTokens;
    this.#index = index;
    this.#failures = failures;
  }

  match(hashes: PrefixHashes): PrefixMatch {
    try {
      const match = this.#index.match(hashes);
      return { cachedBlocks: (slot) => this.#cachedBlocks(match, slot), holders: match.holders };
    } catch (error) {
      this.#note(error);
      return { cachedBlocks: () => 0 };
    }
  }

  record(slot: number, hashes: PrefixHashes): void {
    try {
      this.#index.record(slot, hashes);
    } catch (error) {
      this.#note(error);
    }
  }

  release(slot: number, hashes: PrefixHashes, heldBlocks: number): void {
    try {
      this.#index.release(slot, hashes, heldBlocks);
    } catch (error) {
      this.#note(error);
    }
  }

  forget(slot: number, hashes: PrefixHashes, fromBlock: number, heldBlocks: number): void {
    try {
      this.#index.forget(slot, hashes, fromBlock, heldBlocks);
    } catch (error) {
      this.#note(error);
    }
  }

  #cachedBlocks(match: PrefixMatch, slot: number): number {
    try {
      return match.cachedBlocks(slot);
    } catch (error) {
      this.#note(error);
      return 0;
    }
  }

  #note(error: unknown): void {
    if (this.#failures.some(({ kind }) => kind === 'index')) return;
    this.#failures.push({ kind: 'index', name: 'prefix-index', message: String(error) });
  }
}
