import { ApproximateIndex } from '../prefix-index/approximate-index.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';

/**
 * As llm-d's approximate producer keeps it: least recently sent goes first, whether its request still runs or not. Of
 * ends it is told nothing (`PreRequest` is its only update).
 */
export class SentPrefixIndex extends ApproximateIndex {
  override release(): void {
    // Who has not seen the request run does not know when it ended.
  }

  override forget(slot: number, hashes: PrefixHashes, fromBlock: number): void {
    super.forget(slot, hashes, fromBlock, fromBlock);
  }
}
