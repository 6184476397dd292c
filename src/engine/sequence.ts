import type { BlockHolder } from './block-table.ts';
import { BlockTable } from './block-table.ts';
import { PooledState, type PoolingType } from './pooled-state.ts';
import type { SamplingParams } from './sampling-params.ts';
import type { TokenLogprobs } from './step-output.ts';
import type { StructuredText } from './structured-output/index.ts';

/** What the engine core is asked to do. */
export interface EngineRequest {
  /** Unique among the requests that live at the same time. */
  readonly id: number;
  /** At least one token. */
  readonly promptTokens: readonly number[] | Int32Array;
  readonly sampling: SamplingParams;
  /** How many continuations of the prompt. */
  readonly choices: number;
  /** Lower runs earlier; looked at by the `priority` policy only. */
  readonly priority: number;
  /** Requests share cached prefixes only with requests of the same salt. */
  readonly cacheSalt: string | undefined;
  /** A state of the prompt is wanted instead of text; then there is one choice. */
  readonly pooling?: PoolingType;
  /** Name of a loaded LoRA adapter; absent: the model as it is. */
  readonly adapter?: string | undefined;
}

/**
 *   deferred ──leader's prompt computed──▶ waiting ──admitted──▶ running ──▶ finished
 *                                             ▲                    │
 *                                             └────── preempted ───┘
 * Aborting leads to finished from everywhere.
 */
export type SequenceStatus = 'deferred' | 'waiting' | 'running' | 'finished';

/** The choices of one request. The first is the leader: it computes the prompt, the others share its blocks. */
export interface SequenceGroup {
  readonly id: number;
  readonly sequences: readonly Sequence[];
}

export interface SequenceOptions {
  readonly request: EngineRequest;
  readonly choice: number;
  /** Position in the order of arrival, over all sequences. */
  readonly arrival: number;
  readonly seed: bigint;
  /** Of a request with a constraint. */
  readonly structured: StructuredText | undefined;
  /** Of a request with an adapter: its slot, and what its blocks are hashed with. */
  readonly adapter: { readonly slot: number; readonly key: string } | undefined;
}

/** One continuation of one prompt: its tokens, how many of them are computed, and its KV blocks. */
export class Sequence implements BlockHolder {
  readonly requestId: number;
  readonly choice: number;
  readonly arrival: number;
  readonly priority: number;
  readonly sampling: SamplingParams;
  /** Halves of the 64-bit seed, as native code takes them. */
  readonly seedLow: number;
  readonly seedHigh: number;
  readonly promptLength: number;
  readonly extraKeys: readonly string[] | undefined;
  readonly adapterKey: string | undefined;
  /** Slot of its adapter, -1 = none. */
  readonly adapterSlot: number;
  readonly adapterName: string | undefined;
  /** How far the output has come in the structure that it is held to. */
  readonly structured: StructuredText | undefined;
  /** Of a request for a state: it ends when the prompt is computed. */
  readonly pooled: PooledState | undefined;
  /** Of the prompt's tokens from the second on, as far as they are known; absent: not asked for. */
  readonly promptLogprobs: TokenLogprobs[] | undefined;
  /** How many of these are known or being computed by a step in flight. */
  promptLogprobsAsked = 0;
  readonly table = new BlockTable();

  /**
   * Prompt, then output; during a step a draft behind them. `[length]`, may be longer. The last `pending` are
   * placeholders: -1 - sample, as `StepInputs` has them.
   */
  tokens: Int32Array;
  length: number;
  /** Tokens at the end that steps in flight are still choosing. */
  pending = 0;
  /** Computed, or being computed by a step in flight. */
  computed = 0;
  status: SequenceStatus = 'waiting';
  /** The choice that computes the prompt; absent in the leader itself. */
  leader: Sequence | undefined;
  /** Row of its blocks in the model's block tables; meaningful while it runs. */
  seat = 0;
  /** How many tokens this step computes; beyond `length` they are a draft. */
  scheduled = 0;
  /** Prompt tokens that were found in cache when the sequence first ran. */
  cachedTokens = 0;
  /** When the sequence was first scheduled, in the core's clock. */
  firstScheduledMs: number | undefined;
  /** Where the waiting queue keeps it; meaningful while it waits. */
  queueIndex = 0;

  constructor({ request, choice, arrival, seed, structured, adapter }: SequenceOptions) {
    this.structured = structured;
    this.requestId = request.id;
    this.choice = choice;
    this.arrival = arrival;
    this.priority = request.priority;
    this.sampling = request.sampling;
    this.seedLow = Number(BigInt.asIntN(32, seed));
    this.seedHigh = Number(BigInt.asIntN(32, seed >> 32n));
    this.promptLength = request.promptTokens.length;
    this.adapterKey = adapter?.key;
    this.adapterSlot = adapter?.slot ?? -1;
    this.adapterName = request.adapter;
    this.pooled = request.pooling && new PooledState(request.pooling);
    // Choices share the prompt: the first one asks.
    if (choice === 0 && request.sampling.promptLogprobs !== undefined) this.promptLogprobs = [];
    const keys = [adapter?.key, request.cacheSalt].filter((key) => key !== undefined);
    this.extraKeys = keys.length === 0 ? undefined : keys;
    this.tokens = new Int32Array(this.promptLength + Math.min(request.sampling.maxTokens, 64));
    this.tokens.set(request.promptTokens);
    this.length = this.promptLength;
  }

  /** Tokens of the output, placeholders included. */
  get outputLength(): number {
    return this.length - this.promptLength;
  }

  /** Tokens whose values are known. */
  get knownLength(): number {
    return this.length - this.pending;
  }

  /** Tokens before this one may come from cache. */
  get firstNeeded(): number {
    if (this.pooled !== undefined) return this.pooled.firstNeeded(this.length);
    const asked = this.promptLogprobs === undefined ? this.length : this.promptLogprobsAsked;
    return asked < this.promptLength - 1 ? asked : this.length - 1;
  }

  /** How many tokens of this step tell the log-probability of the next prompt token; they are in one row. */
  get promptRows(): number {
    if (this.promptLogprobs === undefined) return 0;
    const end = Math.min(this.computed + this.scheduled, this.promptLength - 1);
    return Math.max(0, end - this.promptLogprobsAsked);
  }

  /** What may come next depends on the values of the latest tokens: they must be known before it is asked for. */
  get dependsOnTokens(): boolean {
    return this.structured !== undefined || this.sampling.badWords.some((word) => word.length > 1);
  }

  /** Makes room for this many tokens beyond `length`; a draft may lie there. */
  reserve(count: number): void {
    if (this.length + count <= this.tokens.length) return;
    const longer = new Int32Array(Math.max(this.length + count, this.tokens.length * 2));
    longer.set(this.tokens);
    this.tokens = longer;
  }

  /** Sample `sample` of the step just launched will be the next token. */
  expect(sample: number): void {
    this.reserve(1);
    this.tokens[this.length++] = -1 - sample;
    this.pending++;
  }

  /** The next token: what the earliest placeholder stands for, if there is one. */
  append(token: number): void {
    if (this.pending > 0) {
      this.tokens[this.length - this.pending--] = token;
    } else {
      this.reserve(1);
      this.tokens[this.length++] = token;
    }
    this.structured?.push(token);
  }
}
