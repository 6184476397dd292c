import type { Endpoint } from './endpoint.ts';
import { blockSize, type EndpointList } from './endpoint-list.ts';

/** Who keeps numbers by row is told where they are out of date. */
export interface RowListener {
  /** Another endpoint stands in this row now, or another view of it. */
  readonly changed: (endpoint: Endpoint, row: number) => void;
  /** Some row of this block has changed, or it has other rows than before. */
  readonly blockChanged?: (block: number) => void;
}

/**
 * Says which endpoints of a list are not those that stood at the same rows before. A row is
 * `block x blockSize + offset`. Views of endpoints never change, so a comparison tells all; blocks that the lists
 * share are passed over.
 */
export class EndpointRows {
  #blocks: readonly (readonly Endpoint[])[] = [];
  /** By slot; may be out of date. */
  readonly #rows: number[] = [];

  refresh({ blocks }: EndpointList, { changed, blockChanged }: RowListener): void {
    const before = this.#blocks;
    if (blocks === before) return;
    this.#blocks = blocks;
    for (let b = 0; b < blocks.length; b++) {
      const block = blocks[b]!;
      const known = before[b];
      if (block === known) continue;
      for (let offset = 0; offset < block.length; offset++) {
        const endpoint = block[offset]!;
        if (known !== undefined && known[offset] === endpoint) continue;
        const row = b * blockSize + offset;
        while (this.#rows.length <= endpoint.slot) this.#rows.push(-1);
        this.#rows[endpoint.slot] = row;
        changed(endpoint, row);
      }
      blockChanged?.(b);
    }
  }

  /** In which row the endpoint with this slot stands; -1 if it is not in the list. */
  rowOf(slot: number): number {
    const row = this.#rows[slot] ?? -1;
    return row >= 0 && this.#endpointAt(row)?.slot === slot ? row : -1;
  }

  #endpointAt(row: number): Endpoint | undefined {
    return this.#blocks[Math.floor(row / blockSize)]?.[row % blockSize];
  }
}
