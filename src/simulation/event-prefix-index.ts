import type { PrefixIndex, PrefixIndexStats, PrefixMatch } from '../prefix-index/prefix-index.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';
import { lowHashOfBlock } from './workload-request.ts';

/** A KV event in one integer: the block when it was stored, its complement (negative) when it was removed. */
export type ResidencyChange = number;

/**
 * A prefix index that believes only the engines' KV events. One lane of the hashes is a bijection of block ids,
 * so a set of it per endpoint is exact.
 */
export class EventPrefixIndex implements PrefixIndex {
  readonly blockTokens: number;
  readonly #resident: Set<number>[] = [];

  constructor(blockTokens: number) {
    this.blockTokens = blockTokens;
  }

  /** In the order in which they happened. */
  apply(slot: number, changes: readonly ResidencyChange[]): void {
    const resident = this.#residentOn(slot);
    for (const change of changes) {
      if (change >= 0) resident.add(lowHashOfBlock(change));
      else resident.delete(lowHashOfBlock(~change));
    }
  }

  match({ low, count }: PrefixHashes): PrefixMatch {
    return {
      cachedBlocks: (slot) => {
        const resident = this.#residentOn(slot);
        let length = 0;
        while (length < count && resident.has(low[length]!)) length++;
        return length;
      },
    };
  }

  record(): void {
    // Decisions are no evidence here; the engine will tell.
  }

  release(): void {
    // Nor are ends.
  }

  forget(): void {
    // Nothing was believed.
  }

  setCapacity(): void {
    // The engine evicts, and tells.
  }

  removeEndpoint(slot: number): void {
    this.#residentOn(slot).clear();
  }

  stats(): PrefixIndexStats {
    const residencies = this.#resident.reduce((sum, resident) => sum + resident.size, 0);
    return { blocks: residencies, residencies, endpointSets: this.#resident.length, bytes: 0 };
  }

  #residentOn(slot: number): Set<number> {
    while (this.#resident.length <= slot) this.#resident.push(new Set());
    return this.#resident[slot]!;
  }
}
