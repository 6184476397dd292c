import { BlockCache } from './block-cache.ts';
import type { EngineModel } from './engine-model.ts';
import type { RunningRequest } from './running-request.ts';
import { blockTokens } from './workload.ts';

/**
 * KV memory of one engine: prompt blocks in the prefix cache, generated tokens beside it.
 *
 *   | referenced prompt blocks | generated tokens | evictable blocks | empty |
 *   '---------- usage ------------------------'
 *
 * A prompt's blocks count as cached from its admission on. vLLM caches each when it is computed, a few steps
 * later; the difference only shows when equal prompts arrive within one prefill.
 */
export class EngineMemory {
  readonly cache: BlockCache;
  readonly capacityBlocks: number;

  constructor(model: EngineModel) {
    this.capacityBlocks = Math.floor(model.kvCapacityTokens / blockTokens);
    this.cache = new BlockCache(this.capacityBlocks);
  }

  /** False for a request that could not run even alone; engines refuse it. */
  fits(request: RunningRequest): boolean {
    return request.blocks.length + Math.ceil(request.outputTokens / blockTokens) <= this.capacityBlocks;
  }

  /**
   * Takes the blocks of a request that waits, or leaves all as it was and returns false. A preempted request
   * must find room for the tokens that it will recompute too; without that the engine preempts it again at once.
   */
  admit(request: RunningRequest, generatedTokens: number): boolean {
    const generatedBlocks = Math.ceil((generatedTokens + request.generatedTokens + 1) / blockTokens);
    const promptBlocks = this.cache.unreferencedCount(request.blocks);
    if (this.cache.referencedBlocks + promptBlocks + generatedBlocks > this.capacityBlocks) return false;
    // At least one prompt token is always computed: its logits start the answer.
    const cached = Math.min(this.cache.matchLength(request.blocks) * blockTokens, request.promptTokens - 1);
    this.cache.reference(request.blocks);
    this.cache.shrinkTo(this.capacityBlocks - generatedBlocks);
    request.contextTokens = cached;
    request.prefillLeftTokens = request.promptTokens - cached + request.generatedTokens;
    return true;
  }

  /** Blocks that come from another engine, kept like those of a request that has ended; not if they do not fit. */
  receive(request: RunningRequest, generatedTokens: number): void {
    const free = this.capacityBlocks - Math.ceil(generatedTokens / blockTokens) - this.cache.referencedBlocks;
    if (this.cache.unreferencedCount(request.blocks) > free) return;
    this.cache.reference(request.blocks);
    this.cache.release(request.blocks);
  }

  release(request: RunningRequest): void {
    this.cache.release(request.blocks);
  }

  /** Makes place for what was generated; true when referenced blocks and generated tokens exceed the memory. */
  isOverfull(generatedTokens: number): boolean {
    const generatedBlocks = Math.ceil(generatedTokens / blockTokens);
    this.cache.shrinkTo(this.capacityBlocks - generatedBlocks);
    return this.cache.referencedBlocks + generatedBlocks > this.capacityBlocks;
  }

  /** Tokens that can still be generated before the memory is full. */
  roomTokens(generatedTokens: number): number {
    return (this.capacityBlocks - this.cache.referencedBlocks) * blockTokens - generatedTokens;
  }

  /** vLLM's `kv_cache_usage_perc`: blocks in use, the evictable ones not counted. */
  usage(generatedTokens: number): number {
    return Math.min(1, (this.cache.referencedBlocks + generatedTokens / blockTokens) / this.capacityBlocks);
  }
}
