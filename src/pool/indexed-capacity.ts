import type { PrefixIndex } from '../prefix-index/prefix-index.ts';
import type { EndpointState, ScrapedMetrics } from './endpoint-state.ts';

/** What the pool tells of its endpoints' caches. */
export type CapacityIndex = Pick<PrefixIndex, 'blockTokens' | 'setCapacity' | 'removeEndpoint'>;

/**
 * Tells the prefix index how many blocks the endpoint's cache holds. What is generated takes memory from the cached
 * prompts, so it is told what that leaves: the gauge's share beyond the prompts that we count.
 */
export function tellCapacity(
  index: CapacityIndex | undefined,
  state: EndpointState,
  { totalBlocks, blockSizeTokens, kvCacheUsage }: ScrapedMetrics,
): void {
  if (index === undefined || totalBlocks === undefined || blockSizeTokens === undefined) return;
  const tokens = totalBlocks * blockSizeTokens;
  const generated = Math.max(0, kvCacheUsage * tokens - state.load.promptTokensHeld);
  const blocks = Math.floor((tokens - generated) / index.blockTokens);
  if (blocks === state.indexedBlocks) return;
  state.indexedBlocks = blocks;
  index.setCapacity(state.slot, blocks);
}

/** The endpoint's cache is gone, with the endpoint or without. */
export function tellLost(index: CapacityIndex | undefined, state: EndpointState): void {
  index?.removeEndpoint(state.slot);
  state.indexedBlocks = undefined;
}
