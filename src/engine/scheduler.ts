import { adapterUse, exceedsAdapters } from './adapter-use.ts';
import type { BlockManager } from './block-manager.ts';
import type { KvAllocator, KvOccupancy } from './kv-allocator.ts';
import { occupancyOf, reservedTokens } from './kv-allocator.ts';
import type { PartialPrefillLimits } from './partial-prefills.ts';
import { exceedsPartialPrefills } from './partial-prefills.ts';
import { RequestGroups } from './request-groups.ts';
import { checkScheduler } from './scheduler-integrity.ts';
import type { Sequence, SequenceGroup } from './sequence.ts';
import type { SpeculativeConfig } from './speculation/index.ts';
import { draftByNgram } from './speculation/index.ts';
import type { AdapterUse } from './step-output.ts';
import type { Schedule } from './step-plan.ts';
import { StepPlan } from './step-plan.ts';
import type { SchedulingPolicy } from './waiting-queue.ts';
import { runsBefore, WaitingQueue } from './waiting-queue.ts';

export interface SchedulerOptions {
  readonly blockManager: BlockManager;
  /** Sequences that run at the same time, at most. */
  readonly maxNumSeqs: number;
  /** Tokens that one step computes, at most. */
  readonly maxNumBatchedTokens: number;
  /** Prompts may be computed over several steps, mixed with decoding. */
  readonly hasChunkedPrefill: boolean;
  /** Tokens that one sequence computes in one step, at most; 0 = no limit of its own. */
  readonly longPrefillTokenThreshold: number;
  /** Absent: as many prompts are under way as tokens and blocks allow. */
  readonly partialPrefills?: PartialPrefillLimits | undefined;
  readonly policy: SchedulingPolicy;
  readonly kvAllocator: KvAllocator;
  /** Absent: one token per sequence and step. */
  readonly speculation?: SpeculativeConfig | undefined;
  /** Adapters that run in one step, at most; absent: no sequence has one. */
  readonly maxLoras?: number | undefined;
  readonly maxModelLen: number;
}

/** Counted since the start. */
export interface SchedulerCounters {
  readonly preemptions: number;
  /** Prompt tokens looked up in the prefix cache, and found there, at first admission. */
  readonly prefixQueries: number;
  readonly prefixHits: number;
}

/** Share of blocks kept free when a sequence joins running ones, so that they can grow a little first. */
const watermark = 0.01;

/**
 * Decides what the next step computes, as vLLM V1 does: there is no prefill or decode phase, a step moves
 * `computed` toward `length`. Running sequences go first, in order of admission; then waiting ones are
 * admitted while tokens, seats and blocks last. When a running sequence finds no block, the one that should
 * run last loses its blocks and waits again; its tokens are kept and computed anew, mostly from the cache.
 *
 * The earliest running sequence is never preempted for another one, and the pool holds at least one sequence
 * of full length, so each step, or the one after, makes progress.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #blocks: BlockManager;
  readonly #waiting: WaitingQueue;
  /** In order of admission. */
  #running: Sequence[] = [];
  readonly #groups = new RequestGroups();
  /** Rows of the model's block tables that no running sequence has. */
  readonly #seats: number[];
  readonly #step: StepPlan;
  readonly #counters = { preemptions: 0, prefixQueries: 0, prefixHits: 0 };

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#blocks = options.blockManager;
    this.#waiting = new WaitingQueue(options.policy);
    this.#step = new StepPlan(options);
    this.#seats = Array.from({ length: options.maxNumSeqs }, (_, i) => options.maxNumSeqs - 1 - i);
  }

  get running(): number {
    return this.#running.length;
  }

  /** Sequences that hold no block: queued, preempted, or waiting for their leader's prompt. */
  get waiting(): number {
    return this.#waiting.size + this.#groups.deferred;
  }

  get hasWork(): boolean {
    return this.#running.length > 0 || this.#waiting.size > 0;
  }

  get counters(): SchedulerCounters {
    return this.#counters;
  }

  get adapters(): AdapterUse {
    return this.#options.maxLoras === undefined ? noAdapters : adapterUse(this.sequences);
  }

  /** Whether a sequence that has not ended has the adapter in this slot. */
  usesAdapter(slot: number): boolean {
    for (const { adapterSlot, status } of this.sequences)
      if (adapterSlot === slot && status !== 'finished') return true;
    return false;
  }

  /** Sequences of the requests that have not ended. */
  get sequences(): Iterable<Sequence> {
    return this.#groups.sequences();
  }

  add(group: SequenceGroup): void {
    this.#waiting.push(this.#groups.add(group));
  }

  /** Ends one choice of a request at once, or all of them; false if there is nothing to end. */
  abort(id: number, choice?: number): boolean {
    const group = this.#groups.get(id);
    if (group === undefined) return false;
    const ending = choice === undefined ? group.sequences : group.sequences.slice(choice, choice + 1);
    const live = ending.filter((sequence) => sequence.status !== 'finished');
    this.finish(live);
    // A leader that ends early cannot lead: the others compute the prompt themselves.
    if (choice === 0) this.#releaseDeferred(group.sequences[0]!);
    return live.length > 0;
  }

  /** Chooses the tokens of the next step and gives them blocks. `nowMs` dates first schedulings. */
  schedule(nowMs: number): Schedule {
    const step = this.#step;
    step.clear();
    const isStarved = this.#scheduleRunning();
    if (isStarved) return step;
    const passed: Sequence[] = [];
    this.#admitWaiting(nowMs, passed);
    for (const sequence of passed) this.#waiting.push(sequence);
    return step;
  }

  /** The step is launched: this many of the scheduled tokens will be computed for good. */
  advance(sequence: Sequence, tokens: number): void {
    sequence.computed += tokens;
    sequence.scheduled = 0;
  }

  /** The first `computed` tokens are computed, and known: their blocks become reusable. */
  confirm(sequence: Sequence, computed: number): void {
    if (sequence.status === 'running') this.#blocks.commit(sequence, computed);
    if (sequence.leader === undefined && computed >= sequence.promptLength) this.#releaseDeferred(sequence);
  }

  /** Takes ended sequences out; call once a step with those that ended. */
  finish(ended: readonly Sequence[]): void {
    if (ended.length === 0) return;
    for (const sequence of ended) this.#end(sequence);
    this.#running = this.#running.filter(isRunning);
    for (const { requestId } of ended) this.#groups.prune(requestId);
  }

  /** What KV memory holds now. O(running). */
  get kvOccupancy(): KvOccupancy {
    const { blockSize, freeBlocks } = this.#blocks;
    const next = this.#waiting.peek();
    const isFragmented = next !== undefined && this.#blocks.isFragmentedFor(this.#roomFor(next));
    return occupancyOf(this.#running, blockSize, isFragmented ? freeBlocks : 0);
  }

  /** Throws unless queues, statuses and block tables agree. */
  checkIntegrity(): void {
    checkScheduler({
      groups: this.#groups,
      waiting: this.#waiting.size,
      running: this.#running,
      seats: this.#seats,
      maxNumSeqs: this.#options.maxNumSeqs,
      blocks: this.#blocks,
    });
  }

  /** True if something was preempted: blocks are short, so nothing is admitted in this step. */
  #scheduleRunning(): boolean {
    const before = this.#counters.preemptions;
    for (let i = 0; i < this.#running.length && this.#step.left > 0; i++) {
      const sequence = this.#running[i]!;
      if (this.#awaitsItsEnd(sequence)) continue;
      let tokens = this.#step.tokensFor(sequence);
      tokens += this.#draftFor(sequence, tokens);
      while (!this.#blocks.allocate(sequence, sequence.computed + tokens)) {
        const victim = this.#victim();
        const at = this.#running.indexOf(victim);
        if (at < i) i--;
        this.#preempt(victim, at);
        if (victim === sequence) return true;
      }
      this.#step.add(sequence, tokens);
    }
    return this.#counters.preemptions > before;
  }

  /** Nothing more is computed of it, whatever the steps in flight choose. */
  #awaitsItsEnd({ computed, length, pending, outputLength, sampling }: Sequence): boolean {
    if (pending === 0) return computed === length;
    return outputLength >= sampling.maxTokens || length >= this.#options.maxModelLen;
  }

  /**
   * Sequences whose adapter finds no room, or whose prompt would be one too many under way, are taken out of the
   * queue into `passed`; others go before them.
   */
  #admitWaiting(nowMs: number, passed: Sequence[]): void {
    const { maxNumSeqs, hasChunkedPrefill } = this.#options;
    while (this.#running.length < maxNumSeqs && this.#step.left > 0) {
      const sequence = this.#waiting.peek();
      if (sequence === undefined) return;
      if (exceedsAdapters(this.#running, sequence, this.#options.maxLoras)) {
        this.#waiting.remove(sequence);
        passed.push(sequence);
        continue;
      }
      const leader = sequence.leader?.status === 'running' ? sequence.leader : undefined;
      const shared = this.#blocks.match(sequence, leader, sequence.promptLength);
      const cached = shared.count * this.#blocks.blockSize;
      const missing = sequence.length - cached;
      if (!hasChunkedPrefill && missing > this.#step.left) return;
      if (this.#exceedsPrefills(sequence, missing)) {
        this.#waiting.remove(sequence);
        passed.push(sequence);
        continue;
      }
      const room = this.#roomFor(sequence);
      // Room for the whole sequence is asked for, though only one chunk is allocated: otherwise long prompts
      // that run side by side would preempt each other.
      const grows = this.#options.kvAllocator === 'paged' && this.#running.length > 0;
      const reserve = grows ? Math.ceil(this.#blocks.blocks * watermark) : 0;
      if (this.#blocks.needed(sequence, room, shared) + reserve > this.#blocks.freeBlocks) return;
      sequence.computed = cached;
      const tokens = this.#step.tokensFor(sequence);
      const now = Math.max(cached + tokens, this.#reservationFor(sequence));
      if (!this.#blocks.allocate(sequence, now, shared)) {
        sequence.computed = 0;
        return;
      }
      this.#waiting.remove(sequence);
      sequence.status = 'running';
      sequence.seat = this.#seats.pop()!;
      this.#running.push(sequence);
      if (sequence.firstScheduledMs === undefined) {
        sequence.firstScheduledMs = nowMs;
        sequence.cachedTokens = cached;
        this.#counters.prefixQueries += sequence.length;
        this.#counters.prefixHits += cached;
      }
      this.#step.add(sequence, tokens);
    }
  }

  /** `missing`: tokens of the sequence that are not cached. */
  #exceedsPrefills({ length }: Sequence, missing: number): boolean {
    const { partialPrefills } = this.#options;
    if (partialPrefills === undefined) return false;
    return missing > this.#step.chunk && exceedsPartialPrefills(partialPrefills, this.#running, length);
  }

  /** Tokens that the sequence asks room for when it is admitted. */
  #roomFor(sequence: Sequence): number {
    return Math.max(sequence.length, this.#reservationFor(sequence));
  }

  #reservationFor(sequence: Sequence): number {
    const { kvAllocator, maxModelLen } = this.#options;
    return reservedTokens(kvAllocator, sequence, maxModelLen);
  }

  /** A draft for a sequence that is decoding, as long as it costs nobody else a block. */
  #draftFor(sequence: Sequence, tokens: number): number {
    const { speculation, maxModelLen } = this.#options;
    if (speculation === undefined || sequence.structured !== undefined) return 0;
    if (sequence.computed + tokens !== sequence.length || sequence.outputLength === 0) return 0;
    const room = Math.min(
      speculation.draftTokens,
      sequence.sampling.maxTokens - sequence.outputLength - 1,
      maxModelLen - sequence.length - 1,
      this.#step.left - tokens,
    );
    if (room <= 0) return 0;
    sequence.reserve(room);
    const draft = draftByNgram(sequence.tokens, sequence.length, speculation, room);
    return this.#blocks.needed(sequence, sequence.length + draft) > this.#blocks.freeBlocks ? 0 : draft;
  }

  /** The running sequence that should run last: the latest admitted, or by priority the least urgent. */
  #victim(): Sequence {
    if (this.#options.policy === 'fcfs') return this.#running.at(-1)!;
    return this.#running.reduce((last, sequence) =>
      runsBefore('priority', last, sequence) ? sequence : last,
    );
  }

  #preempt(victim: Sequence, at: number): void {
    this.#running.splice(at, 1);
    this.#step.remove(victim);
    this.#leave(victim);
    victim.computed = 0;
    victim.status = 'waiting';
    this.#waiting.push(victim);
    this.#counters.preemptions++;
  }

  /** The other choices of the leader's request may run, on its blocks. */
  #releaseDeferred(leader: Sequence): void {
    for (const sequence of this.#groups.release(leader)) this.#waiting.push(sequence);
  }

  /** Gives back what a running sequence has. Steps in flight may still use it: those that follow come after them. */
  #leave(sequence: Sequence): void {
    this.#blocks.free(sequence);
    this.#seats.push(sequence.seat);
  }

  /** Takes a sequence out of its queue, except `#running`, which the caller filters once. */
  #end(sequence: Sequence): void {
    if (sequence.status === 'waiting') this.#waiting.remove(sequence);
    if (sequence.status === 'deferred') this.#groups.endDeferred(sequence);
    if (sequence.status === 'running') this.#leave(sequence);
    sequence.computed = 0;
    sequence.scheduled = 0;
    sequence.status = 'finished';
  }
}

const noAdapters: AdapterUse = { running: [], waiting: [] };

function isRunning(sequence: Sequence): boolean {
  return sequence.status === 'running';
}
