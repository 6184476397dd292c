/**
 * How sequences get KV memory. `paged`: block by block as they grow. The others reserve one contiguous run at
 * admission, as systems before PagedAttention did, and exist to measure what that costs (Kwon et al. 2023,
 * section 6.1, Orca (Max) and Orca (Pow2)): `reserve-max` for the longest sequence there can be, `reserve-pow2` for
 * the prompt and the next power of two of the output's limit.
 */
export type KvAllocator = 'paged' | 'reserve-max' | 'reserve-pow2';

export const kvAllocators: readonly KvAllocator[] = ['paged', 'reserve-max', 'reserve-pow2'];

export interface ReservingSequence {
  readonly promptLength: number;
  readonly sampling: { readonly maxTokens: number };
}

/** Tokens that the sequence is given room for when it is admitted, whatever it has; 0 when it grows as it goes. */
export function reservedTokens(
  allocator: KvAllocator,
  { promptLength, sampling }: ReservingSequence,
  maxModelLen: number,
): number {
  if (allocator === 'paged') return 0;
  if (allocator === 'reserve-max') return maxModelLen;
  return Math.min(maxModelLen, promptLength + 2 ** Math.ceil(Math.log2(sampling.maxTokens)));
}

/** What KV memory holds at one moment, in tokens. Blocks that sequences share count once for each. */
export interface KvOccupancy {
  /** Keys and values of computed tokens. */
  readonly used: number;
  /** Held for tokens that the sequences may still produce. */
  readonly reserved: number;
  /** Held for nothing: no token will ever be there. */
  readonly internal: number;
  /** Free and enough for the next sequence, but not in one run. */
  readonly external: number;
}

interface HoldingSequence extends ReservingSequence {
  readonly computed: number;
  readonly table: { readonly length: number };
}

/** `strandedBlocks`: free ones that the next sequence would need in one run. O(running). */
export function occupancyOf(
  running: readonly HoldingSequence[],
  blockSize: number,
  strandedBlocks: number,
): KvOccupancy {
  const occupancy = { used: 0, reserved: 0, internal: 0, external: strandedBlocks * blockSize };
  for (const { computed, table, promptLength, sampling } of running) {
    const held = table.length * blockSize;
    const due = Math.min(held, promptLength + sampling.maxTokens - 1);
    occupancy.used += computed;
    occupancy.reserved += due - computed;
    occupancy.internal += held - due;
  }
  return occupancy;
}
