import type { BlockManager } from './block-manager.ts';
import { type KvAllocator, type KvOccupancy, reservedTokens } from './kv-allocator.ts';
import type { PartialPrefillLimits } from './partial-prefills.ts';
import { exceedsPartialPrefills } from './partial-prefills.ts';
import type { Sequence, SequenceGroup } from './sequence.ts';
import type { SpeculativeConfig } from './speculation/index.ts';
import { draftByNgram } from './speculation/index.ts';
import type { AdapterUse } from './step-output.ts';
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

/** One step. The arrays are reused: valid until the next call of `schedule`. */
export interface Schedule {
  /** Each computes its `scheduled` next tokens. */
  readonly sequences: readonly Sequence[];
  readonly tokens: number;
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
  readonly #groups = new Map<number, SequenceGroup>();
  /** Rows of the model's block tables that no running sequence has. */
  readonly #seats: number[];
  readonly #step: { sequences: Sequence[]; tokens: number } = { sequences: [], tokens: 0 };
  #deferred = 0;
  readonly #counters = { preemptions: 0, prefixQueries: 0, prefixHits: 0 };

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#blocks = options.blockManager;
    this.#waiting = new WaitingQueue(options.policy);
    this.#seats = Array.from({ length: options.maxNumSeqs }, (_, i) => options.maxNumSeqs - 1 - i);
  }

  get running(): number {
    return this.#running.length;
  }

  /** Sequences that hold no block: queued, preempted, or waiting for their leader's prompt. */
  get waiting(): number {
    return this.#waiting.size + this.#deferred;
  }

  get hasWork(): boolean {
    return this.#running.length > 0 || this.#waiting.size > 0;
  }

  get counters(): SchedulerCounters {
    return this.#counters;
  }

  get adapters(): AdapterUse {
    if (this.#options.maxLoras === undefined) return noAdapters;
    const running = new Set<string>();
    const waiting = new Set<string>();
    for (const { adapterName, status } of this.#live())
      if (adapterName !== undefined && status !== 'finished')
        (status === 'running' ? running : waiting).add(adapterName);
    return { running: [...running], waiting: [...waiting] };
  }

  /** Whether a sequence that has not ended has the adapter in this slot. */
  usesAdapter(slot: number): boolean {
    for (const { adapterSlot, status } of this.#live())
      if (adapterSlot === slot && status !== 'finished') return true;
    return false;
  }

  /** Sequences of the requests that have not ended. */
  get sequences(): Iterable<Sequence> {
    return this.#live();
  }

  *#live(): Iterable<Sequence> {
    for (const group of this.#groups.values()) yield* group.sequences;
  }

  add(group: SequenceGroup): void {
    if (this.#groups.has(group.id)) throw new Error(`request id ${group.id} is in use`);
    this.#groups.set(group.id, group);
    const [leader, ...others] = group.sequences;
    this.#waiting.push(leader!);
    for (const sequence of others) {
      sequence.leader = leader;
      sequence.status = 'deferred';
      this.#deferred++;
    }
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
    step.sequences.length = 0;
    step.tokens = 0;
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
    for (const { requestId } of ended) {
      const group = this.#groups.get(requestId);
      if (group?.sequences.every((sequence) => sequence.status === 'finished'))
        this.#groups.delete(requestId);
    }
  }

  /** What KV memory holds now. O(running). */
  get kvOccupancy(): KvOccupancy {
    const { blockSize, freeBlocks } = this.#blocks;
    const occupancy = { used: 0, reserved: 0, internal: 0, external: 0 };
    for (const { computed, table, promptLength, sampling } of this.#running) {
      const held = table.length * blockSize;
      const due = Math.min(held, promptLength + sampling.maxTokens - 1);
      occupancy.used += computed;
      occupancy.reserved += due - computed;
      occupancy.internal += held - due;
    }
    const next = this.#waiting.peek();
    if (next !== undefined && this.#blocks.isFragmentedFor(this.#roomFor(next)))
      occupancy.external = freeBlocks * blockSize;
    return occupancy;
  }

  /** Throws unless queues, statuses and block tables agree. */
  checkIntegrity(): void {
    this.#blocks.checkIntegrity();
    const counts = { deferred: 0, waiting: 0, running: 0, finished: 0 };
    for (const group of this.#groups.values()) {
      if (group.sequences.every(({ status }) => status === 'finished'))
        throw new Error(`scheduler: request ${group.id} is over, but kept`);
      for (const sequence of group.sequences) {
        counts[sequence.status]++;
        if (sequence.status !== 'running' && sequence.table.length > 0)
          throw new Error(`scheduler: a ${sequence.status} sequence holds blocks`);
        if (sequence.computed > sequence.table.length * this.#blocks.blockSize)
          throw new Error('scheduler: a sequence has more computed tokens than blocks');
      }
    }
    const actual = {
      deferred: this.#deferred,
      waiting: this.#waiting.size,
      running: this.#running.length,
    };
    for (const status of ['deferred', 'waiting', 'running'] as const)
      if (counts[status] !== actual[status])
        throw new Error(`scheduler: ${counts[status]} ${status} sequences, ${actual[status]} in their queue`);
    const taken = new Set(this.#running.map(({ seat }) => seat));
    if (taken.size !== this.#running.length || this.#seats.some((seat) => taken.has(seat)))
      throw new Error('scheduler: two sequences have one seat, or a seat is taken and free');
    if (taken.size + this.#seats.length !== this.#options.maxNumSeqs)
      throw new Error('scheduler: a seat is lost');
    if (this.#groups.size === 0 && this.#blocks.freeBlocks !== this.#blocks.blocks)
      throw new Error('scheduler: no request lives, but blocks are held');
  }

  /** True if something was preempted: blocks are short, so nothing is admitted in this step. */
  #scheduleRunning(): boolean {
    const before = this.#counters.preemptions;
    for (let i = 0; i < this.#running.length && this.#step.tokens < this.#options.maxNumBatchedTokens; i++) {
      const sequence = this.#running[i]!;
      if (this.#awaitsItsEnd(sequence)) continue;
      let tokens = this.#tokensFor(sequence);
      tokens += this.#draftFor(sequence, tokens);
      while (!this.#blocks.allocate(sequence, sequence.computed + tokens)) {
        const victim = this.#victim();
        const at = this.#running.indexOf(victim);
        if (at < i) i--;
        this.#preempt(victim, at);
        if (victim === sequence) return true;
      }
      this.#record(sequence, tokens);
    }
    return this.#counters.preemptions > before;
  }

  /** Nothing more is computed of it, whatever the steps in flight choose. */
  #awaitsItsEnd({ computed, length, pending, outputLength, sampling }: Sequence): boolean {
    if (pending === 0) return computed === length;
    return outputLength >= sampling.maxTokens || length >= this.#options.maxModelLen;
  }

  /** Whether a step with this sequence would have more adapters than may run together. */
  #exceedsAdapters(sequence: Sequence): boolean {
    const { maxLoras } = this.#options;
    if (maxLoras === undefined || sequence.adapterSlot < 0) return false;
    const slots = new Set([sequence.adapterSlot]);
    for (const { adapterSlot } of this.#running) if (adapterSlot >= 0) slots.add(adapterSlot);
    return slots.size > maxLoras;
  }

  /**
   * Sequences whose adapter finds no room, or whose prompt would be one too many under way, are taken out of the
   * queue into `passed`; others go before them.
   */
  #admitWaiting(nowMs: number, passed: Sequence[]): void {
    const { maxNumSeqs, maxNumBatchedTokens, hasChunkedPrefill } = this.#options;
    while (this.#running.length < maxNumSeqs && this.#step.tokens < maxNumBatchedTokens) {
      const sequence = this.#waiting.peek();
      if (sequence === undefined) return;
      if (this.#exceedsAdapters(sequence)) {
        this.#waiting.remove(sequence);
        passed.push(sequence);
        continue;
      }
      const leader = sequence.leader?.status === 'running' ? sequence.leader : undefined;
      const shared = this.#blocks.match(sequence, leader, sequence.promptLength);
      const cached = shared.count * this.#blocks.blockSize;
      const missing = sequence.length - cached;
      if (!hasChunkedPrefill && missing > maxNumBatchedTokens - this.#step.tokens) return;
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
      const tokens = this.#tokensFor(sequence);
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
      this.#record(sequence, tokens);
    }
  }

  /** `missing`: tokens of the sequence that are not cached. */
  #exceedsPrefills({ length }: Sequence, missing: number): boolean {
    const { partialPrefills, maxNumBatchedTokens, longPrefillTokenThreshold } = this.#options;
    if (partialPrefills === undefined) return false;
    const left = maxNumBatchedTokens - this.#step.tokens;
    const atOnce = longPrefillTokenThreshold > 0 ? Math.min(left, longPrefillTokenThreshold) : left;
    return missing > atOnce && exceedsPartialPrefills(partialPrefills, this.#running, length);
  }

  /** Tokens that the sequence asks room for when it is admitted. */
  #roomFor(sequence: Sequence): number {
    return Math.max(sequence.length, this.#reservationFor(sequence));
  }

  #reservationFor(sequence: Sequence): number {
    const { kvAllocator, maxModelLen } = this.#options;
    return reservedTokens(kvAllocator, sequence, maxModelLen);
  }

  #tokensFor(sequence: Sequence): number {
    const { maxNumBatchedTokens, longPrefillTokenThreshold } = this.#options;
    const tokens = Math.min(sequence.length - sequence.computed, maxNumBatchedTokens - this.#step.tokens);
    return longPrefillTokenThreshold > 0 ? Math.min(tokens, longPrefillTokenThreshold) : tokens;
  }

  /** A draft for a sequence that is decoding, as long as it costs nobody else a block. */
  #draftFor(sequence: Sequence, tokens: number): number {
    const { speculation, maxNumBatchedTokens, maxModelLen } = this.#options;
    if (speculation === undefined || sequence.structured !== undefined) return 0;
    if (sequence.computed + tokens !== sequence.length || sequence.outputLength === 0) return 0;
    const room = Math.min(
      speculation.draftTokens,
      sequence.sampling.maxTokens - sequence.outputLength - 1,
      maxModelLen - sequence.length - 1,
      maxNumBatchedTokens - this.#step.tokens - tokens,
    );
    if (room <= 0) return 0;
    sequence.reserve(room);
    const draft = draftByNgram(sequence.tokens, sequence.length, speculation, room);
    return this.#blocks.needed(sequence, sequence.length + draft) > this.#blocks.freeBlocks ? 0 : draft;
  }

  #record(sequence: Sequence, tokens: number): void {
    sequence.scheduled = tokens;
    this.#step.sequences.push(sequence);
    this.#step.tokens += tokens;
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
    if (victim.scheduled > 0) {
      this.#step.sequences.splice(this.#step.sequences.indexOf(victim), 1);
      this.#step.tokens -= victim.scheduled;
      victim.scheduled = 0;
    }
    this.#leave(victim);
    victim.computed = 0;
    victim.status = 'waiting';
    this.#waiting.push(victim);
    this.#counters.preemptions++;
  }

  /** The leader's prompt is computed: the other choices may run, on its blocks. */
  #releaseDeferred(leader: Sequence): void {
    const group = this.#groups.get(leader.requestId);
    if (group === undefined || group.sequences[1]?.status !== 'deferred') return;
    for (const sequence of group.sequences) {
      if (sequence.status !== 'deferred') continue;
      sequence.status = 'waiting';
      this.#deferred--;
      this.#waiting.push(sequence);
    }
  }

  /** Gives back what a running sequence has. Steps in flight may still use it: those that follow come after them. */
  #leave(sequence: Sequence): void {
    this.#blocks.free(sequence);
    this.#seats.push(sequence.seat);
  }

  /** Takes a sequence out of its queue, except `#running`, which the caller filters once. */
  #end(sequence: Sequence): void {
    if (sequence.status === 'waiting') this.#waiting.remove(sequence);
    if (sequence.status === 'deferred') this.#deferred--;
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
