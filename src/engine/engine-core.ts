import { BatchBuilder } from './batch.ts';
import type { BlockLife } from './block-lives.ts';
import { BlockManager } from './block-manager.ts';
import type { KvAllocator, KvOccupancy } from './kv-allocator.ts';
import type { KvEvent } from './kv-events/kv-event.ts';
import type { AdapterSlots } from './lora/index.ts';
import type { NativeModel, StepBatch } from './native/native.ts';
import type { PartialPrefillLimits } from './partial-prefills.ts';
import { Scheduler } from './scheduler.ts';
import type { EngineRequest } from './sequence.ts';
import { Sequence } from './sequence.ts';
import type { SpeculativeConfig } from './speculation/index.ts';
import type { EngineGauges, FirstToken, PooledOutput, StepOutput, TokenLogprobs } from './step-output.ts';
import type { Finish, StopLimits } from './stop-condition.ts';
import { finishOf } from './stop-condition.ts';
import type { Vocabulary } from './structured-output/index.ts';
import { StructureCache } from './structured-output/index.ts';
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
  readonly maxLogprobs: number;
  readonly eosTokenIds: readonly number[];
  /** Seeds the sampling of requests that bring no seed. */
  readonly seed: number;
  /** Milliseconds. */
  readonly now: () => number;
}

/**
 * The engine without any I/O: requests in, tokens out, one step at a time. A step blocks while the model
 * computes, so it belongs in a worker thread; tests call it directly.
 *
 * Greedy output of a request depends on its tokens alone: not on its neighbours, on chunk sizes, on what was
 * cached or on preemption. The scheduler feeds the same (token, position) pairs however it cuts them, and the
 * model computes each row independently of the others.
 */
export class EngineCore {
  #model: NativeModel | undefined;
  readonly #reopenModel: (() => NativeModel) | undefined;
  readonly #blocks: BlockManager;
  readonly #scheduler: Scheduler;
  readonly #batch: BatchBuilder;
  readonly #structures = new StructureCache();
  readonly #limits: StopLimits;
  readonly #eosTokenIds: Set<number>;
  readonly #adapters: AdapterSlots | undefined;
  readonly #now: () => number;
  readonly #seed: bigint;
  readonly #hiddenSize: number;
  #pooled: PooledOutput[] = [];
  #arrivals = 0;
  #stepTokens = 0;
  readonly #drafts: { drafts: number; draftTokens: number; acceptedTokens: number; acceptedAt: number[] };

  constructor(options: EngineCoreOptions) {
    const eosTokenIds = new Set(options.eosTokenIds);
    assertCapacity(options);
    this.#model = options.model;
    this.#reopenModel = options.reopenModel;
    this.#adapters = options.lora?.slots;
    this.#now = options.now;
    this.#seed = BigInt(options.seed);
    this.#hiddenSize = options.hiddenSize;
    const acceptedAt = new Array<number>(options.speculation?.draftTokens ?? 0).fill(0);
    this.#drafts = { drafts: 0, draftTokens: 0, acceptedTokens: 0, acceptedAt };
    this.#eosTokenIds = eosTokenIds;
    this.#limits = { eosTokenIds, maxModelLen: options.maxModelLen };
    this.#blocks = new BlockManager({
      blocks: options.blocks,
      blockSize: options.blockSize,
      hasPrefixCaching: options.hasPrefixCaching,
      isContiguous: options.kvAllocator !== 'paged',
      root: options.prefixRoot,
      collectsEvents: options.collectsKvEvents,
      lives:
        options.kvMetricsSample === undefined
          ? undefined
          : { sample: options.kvMetricsSample, now: options.now },
    });
    this.#scheduler = new Scheduler({
      ...options,
      maxLoras: options.lora?.maxLoras,
      blockManager: this.#blocks,
    });
    this.#batch = new BatchBuilder({
      maxTokens: options.maxNumBatchedTokens,
      maxSequences: options.maxNumSeqs,
      maxSamples: options.maxNumBatchedTokens,
      maxModelLen: options.maxModelLen,
      blockSize: options.blockSize,
      vocabSize: options.vocabSize,
      hiddenSize: options.hiddenSize,
      maxLogprobs: options.maxLogprobs,
      eosTokenIds,
    });
  }

  get hasWork(): boolean {
    return this.#scheduler.hasWork;
  }

  get gauges(): EngineGauges {
    return {
      running: this.#scheduler.running,
      waiting: this.#scheduler.waiting,
      kvCacheUsage: this.#blocks.usage,
      cachedBlocks: this.#blocks.cachedBlocks,
      ...this.#scheduler.counters,
      drafts: this.#drafts,
      adapters: this.#scheduler.adapters,
      stepTokens: this.#stepTokens,
    };
  }

  /** What tokens stand for: needed by requests that are held to a structure. */
  useVocabulary(vocabulary: Vocabulary): void {
    this.#structures.useVocabulary(vocabulary);
  }

  /** More tokens that end a text. */
  endTextAt(tokenIds: readonly number[]): void {
    for (const tokenId of tokenIds) this.#eosTokenIds.add(tokenId);
  }

  add(request: EngineRequest): void {
    const { length } = request.promptTokens;
    const most = request.pooling !== undefined ? this.#limits.maxModelLen : this.#limits.maxModelLen - 1;
    if (length === 0 || length > most)
      throw new Error(`a prompt has 1 to ${most} tokens; this one has ${length}`);
    if (this.#model === undefined) throw new Error('the engine sleeps; wake it with POST /wake_up');
    const adapter = request.adapter === undefined ? undefined : this.#adapters?.find(request.adapter);
    if (request.adapter !== undefined && adapter === undefined)
      throw new Error(`the adapter ${request.adapter} is not loaded`);
    const { constraint } = request.sampling;
    const structured = () => (constraint === undefined ? undefined : this.#structures.begin(constraint));
    const sequences = Array.from({ length: request.choices }, (_, choice) => {
      const arrival = this.#arrivals++;
      const seed = request.sampling.seed ?? mixSeed(this.#seed, arrival);
      const own = request.sampling.seed === undefined ? seed : seed + BigInt(choice);
      return new Sequence({ request, choice, arrival, seed: own, structured: structured(), adapter });
    });
    this.#scheduler.add({ id: request.id, sequences });
  }

  /** Ends a request, or one choice of it; nothing more is reported of it. False if there is nothing to end. */
  abort(requestId: number, choice?: number): boolean {
    return this.#scheduler.abort(requestId, choice);
  }

  /** Computes one step. Empty if there is nothing to do, or if no sequence has reached a new token. */
  step(): StepOutput[] {
    const { sequences, tokens } = this.#scheduler.schedule(this.#now());
    this.#stepTokens = tokens;
    if (sequences.length === 0) return [];
    const batch = this.#batch.build(sequences);
    if (this.#model === undefined) throw new Error('the engine sleeps: it cannot step');
    this.#model.step(batch);
    return this.#apply(sequences, batch);
  }

  /** Loads a PEFT folder under a name that requests may ask for. Throws with what to change. */
  loadAdapter(name: string, path: string): void {
    if (this.#adapters === undefined) throw new Error('LoRA is off; start with --enable-lora');
    if (this.#model === undefined) throw new Error('the engine sleeps; wake it with POST /wake_up');
    this.#releaseAdapters();
    this.#adapters.load(this.#model, name, path);
  }

  /** Requests that run with it go on; false if it is not loaded. */
  unloadAdapter(name: string): boolean {
    const isDone = this.#adapters?.unload(name) ?? false;
    this.#releaseAdapters();
    return isDone;
  }

  #releaseAdapters(): void {
    if (this.#adapters?.hasRetired)
      this.#adapters.release(this.#model, (slot) => this.#scheduler.usesAdapter(slot));
  }

  /** Forgets all cached prefixes; refused, with false, while sequences run. */
  resetPrefixCache(): boolean {
    return this.#blocks.clearPrefixes();
  }

  /** Requests for states that have ended since the last call. */
  drainPooled(): readonly PooledOutput[] {
    const pooled = this.#pooled;
    this.#pooled = [];
    return pooled;
  }

  /** What happened to cached blocks since the last call. */
  drainKvEvents(): readonly KvEvent[] {
    return this.#blocks.drainEvents();
  }

  /** Stays of watched KV blocks that have ended since the last call. */
  drainBlockLives(): readonly BlockLife[] {
    return this.#blocks.drainLives();
  }

  get kvOccupancy(): KvOccupancy {
    return this.#scheduler.kvOccupancy;
  }

  checkIntegrity(): void {
    this.#scheduler.checkIntegrity();
  }

  /** Gives the memory of weights and KV cache back. Throws if requests live, or if nothing could wake it. */
  sleep(): void {
    if (this.#model === undefined) return;
    if (this.#reopenModel === undefined) throw new Error('this engine cannot sleep');
    if (this.hasWork || !this.#blocks.clearPrefixes())
      throw new Error('the engine cannot sleep: requests run');
    this.#model.close();
    this.#model = undefined;
  }

  /** Loads the weights again, with an empty KV cache. Throws what opening a model throws, and sleeps on. */
  wake(): void {
    if (this.#model !== undefined) return;
    this.#model = this.#reopenModel?.();
    if (this.#model !== undefined) this.#adapters?.restore(this.#model);
  }

  close(): void {
    this.#model?.close();
    this.#model = undefined;
  }

  /** Appends the new tokens, ends what is over. Samples of the batch follow the order of the sequences. */
  #apply(sequences: readonly Sequence[], batch: StepBatch): StepOutput[] {
    const outputs: StepOutput[] = [];
    const ended: Sequence[] = [];
    let sample = 0;
    let states = 0;
    for (const sequence of sequences) {
      sample += this.#readPrompt(sequence, batch, sample);
      const drafted = sequence.computed + sequence.scheduled - sequence.length;
      if (drafted < 0 || sequence.pooled !== undefined) {
        states += this.#readStates(sequence, batch, states);
        this.#scheduler.advance(sequence, sequence.scheduled);
        if (drafted < 0) continue;
        this.#endPooled(sequence);
        ended.push(sequence);
        continue;
      }
      const { accepted, finish } = this.#accept(sequence, drafted, { batch, sample, outputs });
      sample += drafted + 1;
      if (finish !== undefined) ended.push(sequence);
      this.#scheduler.advance(sequence, sequence.scheduled - drafted + accepted);
    }
    this.#scheduler.finish(ended);
    return outputs;
  }

  /** Keeps the log-probabilities of prompt tokens that the step tells, in this many samples. */
  #readPrompt(sequence: Sequence, batch: StepBatch, sample: number): number {
    const rows = sequence.promptRows;
    const count = sequence.sampling.promptLogprobs;
    for (let i = 0; i < rows; i++) sequence.promptLogprobs!.push(readLogprobs(batch, sample + i, count)!);
    return rows;
  }

  /** How many states of the step are the sequence's, from the `at`-th on. */
  #readStates(sequence: Sequence, batch: StepBatch, at: number): number {
    if (sequence.pooled === undefined) return 0;
    const { count } = sequence.pooled.positions(sequence);
    const size = this.#hiddenSize;
    sequence.pooled.add(batch.pooledStates!.subarray(at * size, (at + count) * size), count);
    return count;
  }

  #endPooled(sequence: Sequence): void {
    const { state } = sequence.pooled!;
    this.#pooled.push({ requestId: sequence.requestId, first: firstOf(sequence), state });
  }

  /**
   * Appends what the model says after the sequence's last token, and goes on along the draft as long as the
   * model says what the draft has.
   */
  #accept(
    sequence: Sequence,
    drafted: number,
    { batch, sample, outputs }: { batch: StepBatch; sample: number; outputs: StepOutput[] },
  ): { accepted: number; finish: Finish | undefined } {
    let accepted = 0;
    for (;;) {
      const tokenId = batch.sampledIds[sample + accepted]!;
      const isDraft = accepted < drafted && sequence.tokens[sequence.length] === tokenId;
      sequence.append(tokenId);
      const finish = finishOf(sequence, this.#limits);
      outputs.push({
        requestId: sequence.requestId,
        choice: sequence.choice,
        tokenId,
        logprobs: readLogprobs(batch, sample + accepted, sequence.sampling.logprobs),
        first: sequence.outputLength > 1 ? undefined : firstOf(sequence),
        finish,
      });
      if (isDraft) accepted++;
      if (isDraft && finish === undefined) continue;
      if (drafted > 0) this.#countDraft(drafted, accepted);
      return { accepted, finish };
    }
  }

  #countDraft(drafted: number, accepted: number): void {
    this.#drafts.drafts++;
    this.#drafts.draftTokens += drafted;
    this.#drafts.acceptedTokens += accepted;
    for (let at = 0; at < accepted; at++) this.#drafts.acceptedAt[at]!++;
  }
}

function firstOf({ cachedTokens, firstScheduledMs, promptLogprobs }: Sequence): FirstToken {
  return { cachedTokens, scheduledMs: firstScheduledMs!, promptLogprobs };
}

function readLogprobs(batch: StepBatch, row: number, count: number | undefined): TokenLogprobs | undefined {
  if (count === undefined) return undefined;
  const start = row * batch.topStride;
  return {
    logprob: batch.sampledLogprobs[row]!,
    rank: batch.sampledRanks[row]!,
    topIds: Array.from(batch.topIds.subarray(start, start + count)),
    topLogprobs: Array.from(batch.topLogprobs.subarray(start, start + count)),
  };
}

/** SplitMix64 over (engine seed, arrival): each sequence draws its own random numbers. */
function mixSeed(seed: bigint, arrival: number): bigint {
  let z = BigInt.asUintN(64, seed + BigInt(arrival + 1) * 0x9e3779b97f4a7c15n);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

function assertCapacity(options: EngineCoreOptions): void {
  const { blocks, blockSize, maxModelLen, maxNumBatchedTokens, maxNumSeqs, hasChunkedPrefill } = options;
  if (blocks * blockSize < maxModelLen)
    throw new Error(
      `the KV cache holds ${blocks * blockSize} tokens, less than one sequence of max_model_len ${maxModelLen}: ` +
        'lower max_model_len or give the KV cache more memory',
    );
  if (maxNumBatchedTokens < maxNumSeqs)
    throw new Error(
      `max_num_batched_tokens (${maxNumBatchedTokens}) must be at least max_num_seqs (${maxNumSeqs})`,
    );
  if (!hasChunkedPrefill && maxNumBatchedTokens < maxModelLen)
    throw new Error(
      `max_num_batched_tokens (${maxNumBatchedTokens}) must be at least max_model_len (${maxModelLen}) ` +
        'when chunked prefill is off',
    );
}
