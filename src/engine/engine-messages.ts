import type { BlockLife } from './block-lives.ts';
import type { KvEvent } from './kv-events/kv-event.ts';
import type { EngineRequest } from './sequence.ts';
import type { EngineGauges, PooledOutput } from './step-output.ts';
import type { PackedOutputs } from './step-packing.ts';
import type { Vocabulary } from './structured-output/index.ts';

/** What the server's thread tells the engine's thread. */
export type EngineCommand =
  | { readonly type: 'add'; readonly request: EngineRequest }
  /** Once, before the first request with a constraint. */
  | { readonly type: 'vocabulary'; readonly vocabulary: Vocabulary }
  /** More tokens that end a text, besides those of the configuration; before the first request. */
  | { readonly type: 'end_of_text'; readonly tokenIds: readonly number[] }
  | { readonly type: 'abort'; readonly requestId: number; readonly choice: number | undefined }
  | { readonly type: 'reset_prefix_cache' | 'sleep' | 'wake'; readonly callId: number }
  | {
      readonly type: 'load_adapter';
      readonly callId: number;
      readonly name: string;
      readonly path: string;
      /** The name may be loaded already. */
      readonly isReplacement: boolean;
    }
  | { readonly type: 'unload_adapter'; readonly callId: number; readonly name: string }
  | { readonly type: 'close' };

/** What the engine's thread tells the server's thread: one message a step. */
export type EngineMessage =
  /** The part of the weights that is loaded, 0 to 1. */
  | { readonly type: 'loading'; readonly part: number }
  | { readonly type: 'ready'; readonly info: EngineInfo }
  /** The model could not be opened; the message is for the person who started the engine. */
  | { readonly type: 'failed'; readonly message: string }
  | {
      readonly type: 'step';
      readonly outputs: PackedOutputs;
      readonly pooled: readonly PooledOutput[];
      readonly gauges: EngineGauges;
      /** `add` commands taken in so far: what was sent beyond them still waits at the door. */
      readonly accepted: number;
      readonly kvEvents: readonly KvEvent[];
      readonly blockLives: readonly BlockLife[];
    }
  | { readonly type: 'rejected'; readonly requestId: number; readonly message: string }
  /** What became of a command with a `callId`: false was refused; with an error it failed. */
  | {
      readonly type: 'call_result';
      readonly callId: number;
      readonly isDone: boolean;
      readonly error: string | undefined;
    };

/** What an opened engine is. Fixed for its life. */
export interface EngineInfo {
  readonly device: 'cpu' | 'cuda';
  /** The GPU's name. */
  readonly deviceName?: string | undefined;
  /** With `--device auto`: why it is not a GPU. */
  readonly deviceFallbackReason?: string | undefined;
  /** Instruction set of the CPU's kernels. */
  readonly isa: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly maxModelLen: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  readonly maxLogprobs: number;
  /** LoRA adapters in one step, at most; absent: LoRA is off. */
  readonly maxLoras: number | undefined;
  readonly blockSize: number;
  readonly blocks: number;
  readonly hasPrefixCaching: boolean;
  /** The stay of KV blocks is watched. */
  readonly hasKvMetrics?: boolean;
  readonly kvCacheDtype: string;
  readonly threads: number;
  readonly policy: string;
  /** Two steps in flight. */
  readonly hasAsyncScheduling: boolean;
  /** Bytes. */
  readonly memory: { readonly weights: number; readonly kvCache: number; readonly scratch: number };
}
