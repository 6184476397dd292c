import type { PrefixHashes } from '../scheduling/inference-request.ts';

/**
 * What one lookup found. Without `holders` it holds until the index changes, so it must be read within the same
 * synchronous step; with them for ever.
 */
export interface PrefixMatch {
  /** Leading blocks believed cached on this endpoint; contiguous from block 0. */
  cachedBlocks(slot: number): number;
  /** Slots of all endpoints for which that is above 0. */
  readonly holders?: readonly number[] | undefined;
}

export interface PrefixIndexStats {
  /** Distinct blocks. */
  readonly blocks: number;
  /** (block, endpoint) pairs; at least `blocks`. */
  readonly residencies: number;
  /** Distinct sets of endpoints that blocks share. */
  readonly endpointSets: number;
  /** All typed arrays, allocated and not merely used. */
  readonly bytes: number;
}

/**
 * Which endpoint holds which KV blocks. Slots are the pool's small integers; after `removeEndpoint` a slot
 * starts empty again, whoever uses it next.
 *
 * Today entries are approximate: our own decisions, kept for as long as an engine of that capacity with LRU
 * eviction would keep them. KV events will enter here as `apply(event)` with entries in the same table of
 * confirmed origin: outside of the LRU order, since the engine tells when it evicts.
 */
export interface PrefixIndex {
  /** Prompt tokens that one block of this index stands for. */
  readonly blockTokens: number;
  match(hashes: PrefixHashes): PrefixMatch;
  /** The endpoint is about to compute, or to read from its cache, all of these blocks. */
  record(slot: number, hashes: PrefixHashes): void;
  /**
   * A request with these blocks has ended there: the engine may evict them, after all that was released before. Not
   * the first `heldBlocks`, which other requests hold.
   */
  release(slot: number, hashes: PrefixHashes, heldBlocks: number): void;
  /** The endpoint never computed these blocks, from index `fromBlock` on: takes a `record` back, and releases the others. */
  forget(slot: number, hashes: PrefixHashes, fromBlock: number, heldBlocks: number): void;
  /** How many blocks of `blockTokens` the endpoint's KV cache holds. */
  setCapacity(slot: number, blocks: number): void;
  /** The endpoint is gone, or has lost its cache. */
  removeEndpoint(slot: number): void;
  stats(): PrefixIndexStats;
}
