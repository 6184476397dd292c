import type { Finish } from './stop-condition.ts';

/** The chosen token's log-probability and the most likely tokens beside it, under the raw logits. */
export interface TokenLogprobs {
  readonly logprob: number;
  /** 1 = the most likely token. */
  readonly rank: number;
  /** Best first. */
  readonly topIds: readonly number[];
  readonly topLogprobs: readonly number[];
}

/** What is known once a sequence has its first token. */
export interface FirstToken {
  /** Prompt tokens found in the prefix cache. */
  readonly cachedTokens: number;
  /** When the sequence was first scheduled, in the core's clock. */
  readonly scheduledMs: number;
  /** Of the prompt's tokens from the second on, if the request asks for them; with the first choice. */
  readonly promptLogprobs?: readonly TokenLogprobs[] | undefined;
}

/** What a request for a state ends with. */
export interface PooledOutput {
  readonly requestId: number;
  readonly first: FirstToken;
  /** `[hiddenSize]`, after the final norm; see `PoolingType`. */
  readonly state: Float32Array;
}

/** One new token of one sequence. */
export interface StepOutput {
  readonly requestId: number;
  readonly choice: number;
  readonly tokenId: number;
  readonly logprobs: TokenLogprobs | undefined;
  readonly first: FirstToken | undefined;
  readonly finish: Finish | undefined;
}

/** Drafts of speculative decoding, counted since the start. */
export interface DraftCounters {
  readonly drafts: number;
  readonly draftTokens: number;
  readonly acceptedTokens: number;
  /** Accepted tokens by their place in the draft. */
  readonly acceptedAt: readonly number[];
}

/** Names of adapters that sequences run with, and of those that some wait for. */
export interface AdapterUse {
  readonly running: readonly string[];
  readonly waiting: readonly string[];
}

/** The engine's state after a step, for metrics. Counters count since the start. */
export interface EngineGauges {
  readonly running: number;
  readonly waiting: number;
  /** 0–1 */
  readonly kvCacheUsage: number;
  readonly cachedBlocks: number;
  readonly preemptions: number;
  readonly prefixQueries: number;
  readonly prefixHits: number;
  readonly drafts: DraftCounters;
  /** LoRA adapters by what their sequences do; empty without LoRA. */
  readonly adapters: AdapterUse;
  /** Tokens computed by the latest step. */
  readonly stepTokens: number;
}
