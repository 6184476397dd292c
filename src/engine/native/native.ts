/**
 * The one door between TypeScript and native code. `binding/` is the other side of this description,
 * `backend.h` the C ABI behind it. Everything here is plain data in typed arrays that the caller owns and
 * reuses from step to step; nothing is kept by native code after a call returns, except in `NativeModel`.
 */

/** Element types that weights may have in memory. */
export type WeightDtype = 'F32' | 'BF16' | 'F16';

/**
 * Element types of the KV cache. `I8`: keys of a token and head share a scale, and so do values; on the CPU, as is
 * `F32`. `F8_E4M3`: 8-bit floats without a scale; on a GPU.
 */
export type KvCacheDtype = 'F32' | 'BF16' | 'I8' | 'F8_E4M3';

/** Element types that weights may have in a checkpoint: also ggml's blocks of integers with a scale. */
export type StoredDtype = WeightDtype | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'Q4_K' | 'Q5_K' | 'Q6_K';

/** Which weight of the decoder a tensor is. Layer weights carry a layer index, the others `layer: -1`. */
export type TensorRole =
  | 'embed_tokens'
  | 'final_norm'
  | 'lm_head'
  | 'input_norm'
  | 'mlp_norm'
  | 'q_proj'
  | 'k_proj'
  | 'v_proj'
  | 'o_proj'
  | 'q_bias'
  | 'k_bias'
  | 'v_bias'
  | 'o_bias'
  | 'q_norm'
  | 'k_norm'
  | 'gate_proj'
  | 'up_proj'
  | 'down_proj'
  | 'gate_bias'
  | 'up_bias'
  | 'down_bias'
  | 'attention_output_norm'
  | 'mlp_output_norm'
  | 'router';

/** One tensor inside one of `ModelPlan.files`. Bounds, dtype and shape are checked before native code sees it. */
export interface TensorSource {
  readonly role: TensorRole;
  /** Layer index, or -1 for weights outside the layers. */
  readonly layer: number;
  /** Of `gate_proj`, `up_proj` and `down_proj` in layers with experts: which expert. */
  readonly expert?: number;
  /** Index into `ModelPlan.files`. */
  readonly file: number;
  /** Bytes from the start of the file to the first element. */
  readonly offset: number;
  readonly dtype: StoredDtype;
  /** Rows of each head are stored as (0, d/2, 1, d/2 + 1, ...), as llama.cpp keeps q and k of Llama. */
  readonly isInterleaved?: boolean;
  /** `[rows, columns]` as stored (`[out, in]` for projections), or `[n]` for norms and biases. */
  readonly shape: readonly number[];
}

/** Mixture of experts: a router picks a few small MLPs for each token. */
export interface ExpertPlan {
  readonly count: number;
  readonly perToken: number;
  /** Inner size of one expert. */
  readonly intermediateSize: number;
  /** Whether the weights of the picked experts are scaled to sum to 1. */
  readonly renormalizes: boolean;
  /** `[layers]` 1 where a layer has experts, 0 where it has a plain MLP of `ModelPlan.intermediateSize`. */
  readonly layers: Int32Array;
}

/** Everything native code must know of a decoder. Written by `model-plan.ts` from a checkpoint folder. */
export interface ModelPlan {
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  /** Leading channels of a head that are rotated; even, at most headDim. */
  readonly rotaryDim: number;
  /** Inverse frequencies `[tables, rotaryDim / 2]`, with rope scaling (llama3, yarn, linear, longrope) applied. */
  readonly ropeInverseFrequencies: Float32Array;
  /** `[tables]` factor on cos and sin (yarn, longrope); 1 otherwise. */
  readonly ropeAttentionFactors: Float32Array;
  /** `[layers]` which table a layer rotates by. */
  readonly ropeOfLayer: Int32Array;
  /** Per layer: how many latest tokens a query sees, itself included; 0 = all. `[layers]` */
  readonly slidingWindows: Int32Array;
  /** RMSNorm over each head of q and k before RoPE (Qwen3, Gemma 3). */
  readonly qkNorm: boolean;
  /** RMSNorm on what attention and MLP add to the residual stream (Gemma). */
  readonly hasOutputNorms: boolean;
  /** Added to every norm weight on load: 1 where checkpoints store w of (1 + w) (Gemma). */
  readonly normOffset: number;
  /** Factor on token embeddings. */
  readonly embeddingScale: number;
  /** Factor on q . k. */
  readonly attentionScale: number;
  /** cap * tanh(score / cap) on attention scores; 0 = off. */
  readonly attentionSoftcap: number;
  /** The same on logits; 0 = off. */
  readonly logitSoftcap: number;
  /** Of the gate of the MLP. */
  readonly activation: 'silu' | 'gelu_tanh';
  /** Absent: every layer has one plain MLP. */
  readonly experts?: ExpertPlan;
  readonly tieWordEmbeddings: boolean;
  readonly files: readonly string[];
  /** Empty with `dummySeed`: weights are then random, scaled by 1/sqrt(columns), norms 1. */
  readonly tensors: readonly TensorSource[];
  /** Present for `--load-format dummy`: seed of the random weights. */
  readonly dummySeed?: number;
  /**
   * How projections and embeddings are held in memory: as in the checkpoint (BF16 where that is
   * quantized), or converted on load. `I8`: 8-bit
   * integers in groups of 32 inputs that share a scale, on a CPU. `F8_E4M3`: 8-bit floats with a scale per output,
   * inside the layers, on a GPU.
   */
  readonly weightDtype: 'auto' | WeightDtype | 'I8' | 'F8_E4M3';
  readonly kvCacheDtype: KvCacheDtype;
  /** Tokens per KV block. 16. */
  readonly blockSize: number;
  /** KV blocks to allocate. */
  readonly blocks: number;
  readonly threads: number;
  /** Upper bounds of one step; scratch memory is sized from them once. */
  readonly maxTokens: number;
  readonly maxSamples: number;
  /** Rows and columns of the block tables: sequences that have blocks at the same time, and blocks of each, at most. */
  readonly maxSequences: number;
  readonly maxSequenceBlocks: number;
  /** LoRA adapters that can be loaded at once, and the rank of each projection; none unless given. */
  readonly adapterSlots?: number;
  readonly maxAdapterRank?: number;
  /**
   * Which kernels run, to compare them; the best ones unless given. CPU: a name of `cpuInfo().available`. CUDA: `own`,
   * without cuBLASLt, or `plain`, also without products of warpgroups.
   */
  readonly isa?: string;
}

/**
 * What one engine step reads, as flat arrays. `T` tokens of `S` sequences are computed; `R` of the rows are sampled.
 * Arrays may be longer than the counts say. Tokens of a sequence are adjacent and in position order.
 *
 * A token id below 0, in `tokenIds` and `history`, is a placeholder: -1 - r stands for what sample r of the step
 * launched before this one chooses.
 */
export interface StepInputs {
  tokens: number;
  sequences: number;
  samples: number;
  /** `[T]` */
  readonly tokenIds: Int32Array;
  /** `[T]` position of each token in its sequence, from 0. */
  readonly positions: Int32Array;
  /** `[T]` where the token's K and V go: block * blockSize + offset in block. */
  readonly slotMapping: Int32Array;
  /** `[S + 1]` first token row of each sequence; the last entry is `T`. */
  readonly queryStarts: Int32Array;
  /** `[S]` row of each sequence in the model's block tables: the ids of its blocks, in sequence order. */
  readonly tableRows: Int32Array;
  /**
   * `[tableDeltaCount, 3]` (row, column, block): what changes in the block tables before the step. Those of a row are
   * adjacent: first (row, 0, -1) if its former entries are void, then columns ascending, at most one beyond the last.
   */
  readonly tableDeltas: Int32Array;
  tableDeltaCount: number;
  /** `[S]` adapter slot of each sequence, -1 for the base model; absent: the base model for all. */
  readonly adapters?: Int32Array;
  /** `[R]` token rows whose logits are wanted. */
  readonly sampleRows: Int32Array;
  /** `[R, SAMPLING_FLOATS]`, see `SamplingFloat`. */
  readonly samplingFloats: Float32Array;
  /** `[R, SAMPLING_INTS]`, see `SamplingInt`. */
  readonly samplingInts: Int32Array;
  /** Token ids that penalties look at, back to back; `SamplingInt.HistoryStart` points into it. */
  readonly history: Int32Array;
  /** `[R + 1]` bounds into `biasIds` and `biasValues`: added to logits before anything else; -Infinity bans. */
  readonly biasStarts: Int32Array;
  readonly biasIds: Int32Array;
  readonly biasValues: Float32Array;
  /** `[R]` tokens that are taken as chosen, -1 where one is to be chosen; absent: all are. */
  readonly forcedIds?: Int32Array;
  /** `[R]` index of the row's mask, -1 where all tokens may come; absent: everywhere. */
  readonly maskOf?: Int32Array;
  /** With `maskOf`: `[maskCount, ceil(vocabSize / 32)]`, a bit per token, set if it may be chosen. */
  readonly masks?: Uint32Array;
  maskCount?: number;
  /** Most likely tokens per sample in the results, at most. */
  topStride: number;
  /** With `pooledRows`: how many rows' hidden states are wanted; `samples + pooled` is at most `maxSamples`. */
  pooled?: number;
  /** `[pooled]` token rows. */
  readonly pooledRows?: Int32Array;
}

/** Where the results of a step go; its inputs have the sizes. Arrays may be longer. */
export interface StepResults {
  /** `[R]` chosen token. */
  readonly sampledIds: Int32Array;
  /** `[R]` natural log of the chosen token's probability under the raw logits (vLLM's `raw_logprobs`). */
  readonly sampledLogprobs: Float32Array;
  /** `[R]` rank of the chosen token under the raw logits, 1 = most likely. Only if logprobs are wanted. */
  readonly sampledRanks: Int32Array;
  /** `[R, topStride]` most likely tokens and their log-probabilities, best first. */
  readonly topIds: Int32Array;
  readonly topLogprobs: Float32Array;
  /** `[pooled, hiddenSize]` hidden states after the final norm. */
  readonly pooledStates?: Float32Array;
}

/** Both, for those who wait for each step at once. */
export interface StepBatch extends StepInputs, StepResults {}

/** Numbers of an entry of `StepInputs.tableDeltas`. */
export const TABLE_DELTA_INTS = 3;

/** Steps that may be launched and not yet waited for. */
export const STEPS_IN_FLIGHT = 2;

/** Columns of `samplingFloats`. */
export const SamplingFloat = {
  /** 0 = greedy. */
  Temperature: 0,
  /** (0, 1], 1 = off. */
  TopP: 1,
  /** [0, 1], 0 = off. */
  MinP: 2,
  /** > 0, 1 = off; over prompt and output. */
  RepetitionPenalty: 3,
  /** 0 = off; over output. */
  PresencePenalty: 4,
  /** 0 = off; over output. */
  FrequencyPenalty: 5,
} as const;
export const SAMPLING_FLOATS = 6;

/** Columns of `samplingInts`. */
export const SamplingInt = {
  /** 0 = off. */
  TopK: 0,
  /** 64-bit seed as two 32-bit halves. */
  SeedLow: 1,
  SeedHigh: 2,
  /** How many tokens the sequence has drawn so far: the same (seed, draw) gives the same random number. */
  Draw: 3,
  /** How many top log-probabilities to return; -1 = no log-probabilities at all. */
  Logprobs: 4,
  /** First index in `history`, prompt length, and prompt + output length; length 0 = no penalties. */
  HistoryStart: 5,
  HistoryPromptLength: 6,
  HistoryLength: 7,
} as const;
export const SAMPLING_INTS = 8;

/** One adapted projection of a LoRA adapter: A `[rank, in]` and B `[out, rank]`, one dtype, in one file. */
export interface LowRankSource {
  readonly role: 'q_proj' | 'k_proj' | 'v_proj' | 'o_proj' | 'gate_proj' | 'up_proj' | 'down_proj';
  readonly layer: number;
  readonly rank: number;
  /** Index into `AdapterSource.files`. */
  readonly file: number;
  /** Bytes from the start of the file. */
  readonly aOffset: number;
  readonly bOffset: number;
  readonly dtype: WeightDtype;
  /** Factor on B A. */
  readonly scale: number;
}

/** A LoRA adapter on disk, every shape checked. */
export interface AdapterSource {
  readonly files: readonly string[];
  readonly pairs: readonly LowRankSource[];
}

/** A model in native memory. */
export interface NativeModel {
  /**
   * Begins a step: a GPU computes it meanwhile, a CPU has done so when the call returns. Everything is read during the
   * call. Steps run in the order of their launches, at most `STEPS_IN_FLIGHT` are in flight. With `keepsLogits` the
   * results have logits. Throws an Error that names the argument when an array is too short or an id out of range;
   * then nothing has changed.
   */
  launch(batch: StepInputs, keepsLogits?: boolean): void;
  /**
   * Blocks until the earliest step in flight is done and writes its results, with `logits` (`[R, vocabSize]`, raw:
   * before biases and penalties) if it keeps them. Throws what the step failed with; it is over then, too.
   */
  wait(results: StepResults, logits?: Float32Array): void;
  /** Both, while nothing else is in flight. */
  step(batch: StepBatch, logits?: Float32Array): void;
  /** Reads an adapter into a slot below `ModelPlan.adapterSlots`. Throws with the reason; the slot is as before. */
  loadAdapter(slot: number, adapter: AdapterSource): void;
  /** Frees a slot. No sequence of a later step may name it until it is loaded again. */
  unloadAdapter(slot: number): void;
  /** Bytes held by weights, KV cache and scratch. */
  memory(): { readonly weights: number; readonly kvCache: number; readonly scratch: number };
  /** Frees everything, stops the threads. The model must not be used afterwards; a second call does nothing. */
  close(): void;
}

/** A backend in a shared library, and the device that it found. */
export interface NativeBackend {
  /** The device's name, such as "NVIDIA H200". */
  readonly name: string;
  readonly memoryBytes: number;
  /** When it was asked. */
  readonly freeBytes: number;
  /** Such as "9.0". */
  readonly computeCapability: string;
  /** Other libraries that it uses; may be empty. */
  readonly libraries: string;
  /** As `NativeModule.open`, on the device. */
  open(plan: ModelPlan, onProgress?: (part: number) => void): NativeModel;
}

/** The native addon. */
export interface NativeModule {
  /** The kernels chosen at run time (`amx`, `avx512_bf16`, …, `portable`) and all that the processor can run, best first. */
  cpuInfo(): { readonly isa: string; readonly available: readonly string[] };
  /**
   * Maps the files, packs the weights, allocates the KV cache. Throws with the tensor and the reason.
   * `onProgress` is told the part of the weights that is loaded, 0 to 1, while the call blocks.
   */
  open(plan: ModelPlan, onProgress?: (part: number) => void): NativeModel;
  /**
   * Opens the library of another backend and looks for its device. Throws with the reason: no such file, another
   * version of the interface, no driver, no device.
   */
  openBackend(path: string): NativeBackend;
}
