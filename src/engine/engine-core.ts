import { BatchBuilder } from './batch.ts';
import type { BlockLife } from './block-lives.ts';
import { BlockManager } from './block-manager.ts';
import { DraftCounter } from './draft-counter.ts';
import { assertCapacity } from './engine-capacity.ts';
import type { EngineCoreOptions } from './engine-core-options.ts';
import type { KvOccupancy } from './kv-allocator.ts';
import type { KvEvent } from './kv-events/kv-event.ts';
import type { AdapterSlots } from './lora/index.ts';
import type { NativeModel } from './native/native.ts';
import { STEPS_IN_FLIGHT } from './native/native.ts';
import { Scheduler } from './scheduler.ts';
import type { EngineRequest } from './sequence.ts';
import { Sequence } from './sequence.ts';
import { mixSeed } from './sequence-seed.ts';
import type { FlightEntry, StepFlight } from './step-flight.ts';
import { entriesOf } from './step-flight.ts';
import type { EngineGauges, PooledOutput, StepOutput } from './step-output.ts';
import { StepReader } from './step-reader.ts';
import type { ReusedResults } from './step-results.ts';
import { createStepResults, reservePooledStates } from './step-results.ts';
import type { StopLimits } from './stop-condition.ts';
import type { Vocabulary } from './structured-output/index.ts';
import { StructureCache } from './structured-output/index.ts';

/**
 * The engine without any I/O: requests in, tokens out, one step at a time. A step blocks while the model
 * computes, so it belongs in a worker thread; tests call it directly.
 *
 *   each step is waited for      schedule 1 │ launch 1 ─ wait 1 │ apply 1 │ schedule 2 │ launch 2 ─ wait 2 │ ...
 *   asynchronous                 schedule 1 │ launch 1 │ schedule 2 │ launch 2 │ wait 1 │ apply 1 │ schedule 3 │ ...
 *
 * With two steps in flight a sequence runs on before its latest token is known: the model finds it in what the step
 * before has sampled. What turns out to be over has run one token too far, which nobody sees. Sequences whose next
 * token depends on what the latest one is, by a structure or by words that may not come, make the next step wait.
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
  readonly #results: ReusedResults;
  readonly #depth: number;
  /** Oldest first. */
  readonly #flights: StepFlight[] = [];
  /** Of steps that had to end before something else could happen; the next `step` tells them. */
  #landed: StepOutput[] = [];
  readonly #structures = new StructureCache();
  readonly #limits: StopLimits;
  readonly #eosTokenIds: Set<number>;
  readonly #adapters: AdapterSlots | undefined;
  readonly #now: () => number;
  readonly #seed: bigint;
  readonly #hiddenSize: number;
  readonly #reader: StepReader;
  #arrivals = 0;
  #stepTokens = 0;
  readonly #drafts: DraftCounter;

  constructor(options: EngineCoreOptions) {
    const eosTokenIds = new Set(options.eosTokenIds);
    assertCapacity(options);
    if (options.isAsync === true && options.speculation !== undefined)
      throw new Error('speculation needs the tokens of the step before: not with two steps in flight');
    this.#model = options.model;
    this.#reopenModel = options.reopenModel;
    this.#adapters = options.lora?.slots;
    this.#now = options.now;
    this.#seed = BigInt(options.seed);
    this.#hiddenSize = options.hiddenSize;
    this.#drafts = new DraftCounter(options.speculation?.draftTokens ?? 0);
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
    this.#depth = options.isAsync === true ? STEPS_IN_FLIGHT : 1;
    const limits = {
      maxTokens: options.maxNumBatchedTokens,
      maxSequences: options.maxNumSeqs,
      maxSamples: options.maxNumBatchedTokens,
      blockSize: options.blockSize,
      vocabSize: options.vocabSize,
      hiddenSize: options.hiddenSize,
      maxLogprobs: options.maxLogprobs,
      eosTokenIds,
    };
    this.#batch = new BatchBuilder(limits);
    this.#results = createStepResults(limits);
    this.#reader = new StepReader({
      scheduler: this.#scheduler,
      results: this.#results,
      limits: this.#limits,
      hiddenSize: options.hiddenSize,
      drafts: this.#drafts,
    });
  }

  get hasWork(): boolean {
    return this.#scheduler.hasWork || this.#flights.length > 0 || this.#landed.length > 0;
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
    const isOther = (output: StepOutput) =>
      output.requestId !== requestId || (choice !== undefined && output.choice !== choice);
    this.#landed = this.#landed.filter(isOther);
    return this.#scheduler.abort(requestId, choice);
  }

  /**
   * Plans and launches one step, and tells what the oldest one in flight has found, unless another one may be launched
   * before. Empty if there is nothing to do, or if no sequence has reached a new token.
   */
  step(): StepOutput[] {
    const outputs = this.#landed;
    this.#landed = [];
    this.#stepTokens = 0;
    const mayFollow = () => this.#flights.length < this.#depth && this.#flights.at(-1)?.isBlocking !== true;
    if (mayFollow() && this.#launch() && mayFollow()) return outputs;
    return this.#land(outputs);
  }

  /** False if there is nothing to compute. */
  #launch(): boolean {
    const { sequences, tokens } = this.#scheduler.schedule(this.#now());
    if (sequences.length === 0) return false;
    const batch = this.#batch.build(sequences);
    if (this.#model === undefined) throw new Error('the engine sleeps: it cannot step');
    const entries = entriesOf(sequences);
    this.#model.launch(batch);
    const isBlocking = entries.some(
      ({ sequence, drafted }) => drafted !== undefined && sequence.dependsOnTokens,
    );
    const { topStride, pooled = 0 } = batch;
    this.#flights.push({ entries, tokens, topStride, pooled, isBlocking });
    for (const entry of entries) this.#depart(entry);
    return true;
  }

  /** The sequence goes on as if the step were done. */
  #depart({ sequence, sample, promptRows, drafted, computed }: FlightEntry): void {
    sequence.promptLogprobsAsked += promptRows;
    this.#scheduler.advance(sequence, computed - sequence.computed);
    if (drafted !== undefined && this.#depth > 1) sequence.expect(sample + promptRows);
  }

  /** Waits for the oldest step in flight, if there is one, and adds what it says. */
  #land(outputs: StepOutput[] = []): StepOutput[] {
    const flight = this.#flights[0];
    if (flight === undefined) return outputs;
    reservePooledStates(this.#results, flight.pooled * this.#hiddenSize);
    this.#model!.wait(this.#results);
    this.#flights.shift();
    this.#stepTokens = flight.tokens;
    this.#reader.apply(flight, outputs);
    return outputs;
  }

  /** Ends the steps in flight. */
  #settle(): void {
    while (this.#flights.length > 0) this.#land(this.#landed);
  }

  /** Loads a PEFT folder under a name that requests may ask for, or other weights in its place. Throws with what to change. */
  loadAdapter(name: string, path: string, isReplacement = false): void {
    if (this.#adapters === undefined) throw new Error('LoRA is off; start with --enable-lora');
    if (this.#model === undefined) throw new Error('the engine sleeps; wake it with POST /wake_up');
    this.#settle();
    this.#releaseAdapters();
    const isUsed = (slot: number) => this.#scheduler.usesAdapter(slot);
    if (isReplacement) this.#adapters.replace(this.#model, name, path, isUsed);
    else this.#adapters.load(this.#model, name, path);
  }

  /** Requests that run with it go on; false if it is not loaded. */
  unloadAdapter(name: string): boolean {
    this.#settle();
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
    return this.#reader.drainPooled();
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
    const expected = new Map<Sequence, number>();
    if (this.#depth > 1)
      for (const { sequence, drafted } of this.#flights.flatMap(({ entries }) => entries))
        if (drafted !== undefined) expected.set(sequence, (expected.get(sequence) ?? 0) + 1);
    for (const sequence of this.#scheduler.sequences)
      if (sequence.status !== 'finished' && sequence.pending !== (expected.get(sequence) ?? 0))
        throw new Error(
          `engine: a sequence awaits ${sequence.pending} tokens, not those of the steps in flight`,
        );
  }

  /** Gives the memory of weights and KV cache back. Throws if requests live, or if nothing could wake it. */
  sleep(): void {
    if (this.#model === undefined) return;
    if (this.#reopenModel === undefined) throw new Error('this engine cannot sleep');
    this.#settle();
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
}
