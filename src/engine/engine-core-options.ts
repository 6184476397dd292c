import type { KvAllocator } from './kv-allocator.ts';
import type { AdapterSlots } from './lora/index.ts';
import type { NativeModel } from './native/native.ts';
import type { PartialPrefillLimits } from './partial-prefills.ts';
import type { SpeculativeConfig } from './speculation/index.ts';
import type { SchedulingPolicy } from './waiting-queue.ts';

export interface EngineCoreOptions {
  /** Opened for at least these limits, with as many samples as tokens; the core closes it. */
  readonly model: NativeModel;
  /** Opens the same model again, after `sleep`. Absent: the core cannot sleep. */
  readonly reopenModel?: (() => NativeModel) | undefined;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly maxModelLen: number;
  /** KV blocks of the model; at least enough for one sequence of `maxModelLen` tokens. */
  readonly blocks: number;
  readonly blockSize: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  readonly longPrefillTokenThreshold: number;
  readonly partialPrefills?: PartialPrefillLimits | undefined;
  readonly hasChunkedPrefill: boolean;
  readonly hasPrefixCaching: boolean;
  /** Parent digest of every prefix chain; see `rootDigest`. */
  readonly prefixRoot: Uint8Array;
  readonly collectsKvEvents: boolean;
  /** Part of the KV blocks whose stay is watched; absent: none. */
  readonly kvMetricsSample?: number | undefined;
  readonly policy: SchedulingPolicy;
  readonly kvAllocator: KvAllocator;
  /** Absent: one token per sequence and step. */
  readonly speculation?: SpeculativeConfig | undefined;
  /** Absent: requests name no adapters. */
  readonly lora?: { readonly maxLoras: number; readonly slots: AdapterSlots } | undefined;
  /**
   * The next step is planned and launched while the one before it is computed, with placeholders for the tokens that
   * it is choosing; not with speculation, whose drafts need them. Absent: each step is waited for.
   */
  readonly isAsync?: boolean | undefined;
  readonly maxLogprobs: number;
  readonly eosTokenIds: readonly number[];
  /** Seeds the sampling of requests that bring no seed. */
  readonly seed: number;
  /** Milliseconds. */
  readonly now: () => number;
}
