import type { PrefixMatch } from './prefix-index.ts';

/** So few are searched through one by one. */
const fewHolders = 8;

/** The endpoints that hold the beginning of a prompt. Keeps nothing of the index, so it stays what it is. */
export class FoundHolders implements PrefixMatch {
  readonly holders: number[] = [];
  /** Leading blocks, in the order of `holders`. */
  readonly #blocks: number[] = [];
  /** Blocks by slot, once asked for where there are many. */
  #bySlot: Int32Array | undefined;
  #highestSlot = 0;

  add(slot: number, blocks: number): void {
    this.holders.push(slot);
    this.#blocks.push(blocks);
    if (slot > this.#highestSlot) this.#highestSlot = slot;
  }

  cachedBlocks(slot: number): number {
    const { holders } = this;
    if (holders.length > fewHolders) {
      this.#bySlot ??= this.#sorted();
      return this.#bySlot[slot] ?? 0;
    }
    const at = holders.indexOf(slot);
    return at < 0 ? 0 : this.#blocks[at]!;
  }

  #sorted(): Int32Array {
    const bySlot = new Int32Array(this.#highestSlot + 1);
    for (let i = 0; i < this.holders.length; i++) bySlot[this.holders[i]!] = this.#blocks[i]!;
    return bySlot;
  }
}
