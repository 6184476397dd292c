/**
 * Which endpoint holds which KV blocks.
 *
 * Owns the table of blocks and the endpoints that hold them. Imports types of `scheduling`, and `protocol`.
 */
export type { ApproximateIndexOptions, IndexCounts, LookupTimer } from './approximate-index.ts';
export { ApproximateIndex } from './approximate-index.ts';
export type { BlockHashOptions } from './block-hashes.ts';
export { hashBlocks } from './block-hashes.ts';
export type { PrefixIndex, PrefixIndexStats, PrefixMatch } from './prefix-index.ts';
