import { DecodeBatch } from './decode-batch.ts';
import { EngineMemory } from './engine-memory.ts';
import { decodeRunMs, decodeStepsWithin, type EngineModel, mixedStepMs } from './engine-model.ts';
import { EngineQueue } from './engine-queue.ts';
import type { EventQueue } from './event-queue.ts';
import type { RunningRequest } from './running-request.ts';

/** Told after the engine has begun its next step, so that an answer to the news joins that one's successor. */
export interface EngineListener {
  /** Just before anything of the engine changes; for those who sample its gauges. */
  beforeChange(engine: number, nowMs: number): void;
  firstToken(request: RunningRequest, nowMs: number): void;
  completed(request: RunningRequest, nowMs: number): void;
}

export interface SimulatedEngineOptions {
  readonly index: number;
  readonly model: EngineModel;
  /** Every step takes this many times as long as the model says. */
  readonly slowness: number;
  /** Wakes the engine: an event with its index as target and its `version`. */
  readonly timers: EventQueue;
  readonly listener: EngineListener;
}

export interface EngineGauges {
  readonly queuedRequests: number;
  readonly runningRequests: number;
  readonly kvCacheUsage: number;
}

/** Sums over a run. */
export interface EngineCounters {
  readonly prefillTokens: number;
  readonly busyMs: number;
  readonly preemptions: number;
  /** Integral of requests in the engine over time; Little's law compares it with the sum of their stays. */
  readonly requestMs: number;
  /** Integral of sequences decoding over time; divided by `busyMs` it is the mean batch. */
  readonly decodingMs: number;
}

/**
 * One engine with the rules of vLLM V1's scheduler: a token budget per step, decodes first, then prefills in
 * progress, then the queue first come, first served, whose head blocks the line; chunked prefill; preemption by
 * recomputation.
 *
 * While nothing prefills, steps differ only by a growing context. The engine then jumps to the next completion,
 * or to full memory; an arrival cuts the jump at the end of the step under way.
 */
export class SimulatedEngine {
  readonly index: number;
  readonly memory: EngineMemory;
  readonly #model: EngineModel;
  readonly #slowness: number;
  readonly #timers: EventQueue;
  readonly #listener: EngineListener;

  readonly #queue = new EngineQueue();
  /** In order of admission; generated tokens of preempted ones are counted apart. */
  #prefilling: RunningRequest[] = [];
  #recomputingTokens = 0;
  readonly #decoding = new DecodeBatch();
  #admissions = 0;

  #state: 'idle' | 'mixed' | 'decoding' = 'idle';
  /** Events with another version are out of date. */
  #version = 0;
  #startedMs = 0;
  #steps = 0;
  readonly #chunkTokens: number[] = [];
  #firstTokens: RunningRequest[] = [];
  #completed: RunningRequest[] = [];

  #prefillTokens = 0;
  #busyMs = 0;
  #preemptions = 0;
  #requestMs = 0;
  #decodingMs = 0;
  #countedMs = 0;

  constructor({ index, model, slowness, timers, listener }: SimulatedEngineOptions) {
    this.index = index;
    this.memory = new EngineMemory(model);
    this.#model = model;
    this.#slowness = slowness;
    this.#timers = timers;
    this.#listener = listener;
  }

  get requestCount(): number {
    return this.#queue.size + this.#prefilling.length + this.#decoding.size;
  }

  counters(): EngineCounters {
    return {
      prefillTokens: this.#prefillTokens,
      busyMs: this.#busyMs,
      preemptions: this.#preemptions,
      requestMs: this.#requestMs,
      decodingMs: this.#decodingMs,
    };
  }

  gauges(nowMs: number): EngineGauges {
    let generatedTokens = this.#generatedTokens;
    if (this.#state === 'decoding') generatedTokens += this.#decoding.size * this.#stepsDone(nowMs);
    return {
      queuedRequests: this.#queue.size,
      runningRequests: this.#prefilling.length + this.#decoding.size,
      kvCacheUsage: this.memory.usage(generatedTokens),
    };
  }

  /** The caller has checked `memory.fits`. */
  enqueue(request: RunningRequest, nowMs: number): void {
    this.#listener.beforeChange(this.index, nowMs);
    this.#countTo(nowMs);
    request.generatedTokens = 0;
    this.#queue.push(request);
    if (this.#state === 'idle') this.#schedule(nowMs);
    else if (this.#state === 'decoding') this.#cutRun(nowMs);
  }

  /** The same for a request whose prompt another engine has computed and sent. */
  enqueuePrefilled(request: RunningRequest, nowMs: number): void {
    this.memory.receive(request, this.#generatedTokens);
    this.enqueue(request, nowMs);
  }

  /** The step or the run of steps that `version` announced is over. */
  stepEnd(version: number, nowMs: number): void {
    if (version !== this.#version) return;
    this.#listener.beforeChange(this.index, nowMs);
    this.#countTo(nowMs);
    this.#busyMs += nowMs - this.#startedMs;
    this.#decodingMs += this.#decoding.size * (nowMs - this.#startedMs);
    this.#decoding.advance(this.#steps);
    for (let done = this.#decoding.takeFinished(); done !== undefined; done = this.#decoding.takeFinished()) {
      this.#complete(done);
    }
    if (this.#state === 'mixed') this.#applyChunks();
    this.#preemptWhileOverfull();
    this.#schedule(nowMs);
    this.#notify(nowMs);
  }

  /** Drops all requests and the cache. Returns the requests. */
  crash(nowMs: number): readonly RunningRequest[] {
    this.#listener.beforeChange(this.index, nowMs);
    this.#countTo(nowMs);
    const lost = [...this.#decoding.takeAll(), ...this.#prefilling, ...this.#queue.takeAll()];
    this.#prefilling = [];
    this.#recomputingTokens = 0;
    this.memory.cache.clear();
    this.#state = 'idle';
    this.#version++;
    return lost;
  }

  /** Throws when memory and requests disagree. */
  checkIntegrity(): void {
    this.memory.cache.checkIntegrity();
    if (this.requestCount > 0) return;
    if (this.memory.cache.referencedBlocks !== 0) throw new Error(`engine ${this.index} leaks blocks`);
    if (this.#generatedTokens !== 0) throw new Error(`engine ${this.index} leaks generated tokens`);
    if (this.#decoding.contextTokens !== 0) throw new Error(`engine ${this.index} leaks context tokens`);
  }

  get #generatedTokens(): number {
    return this.#decoding.generatedTokens + this.#recomputingTokens;
  }

  #schedule(nowMs: number): void {
    const decoding = this.#decoding.size;
    let budget = this.#model.stepTokens - decoding;
    let attentionPairs = 0;
    this.#chunkTokens.length = 0;
    for (let i = 0; budget > 0; i++) {
      const request = this.#prefilling[i] ?? this.#admitNext(nowMs);
      if (request === undefined) break;
      const tokens = Math.min(request.prefillLeftTokens, budget);
      this.#chunkTokens.push(tokens);
      attentionPairs += tokens * (request.contextTokens + tokens / 2);
      budget -= tokens;
    }
    const prefillTokens = this.#model.stepTokens - decoding - budget;
    if (prefillTokens > 0) this.#beginMixedStep(nowMs, prefillTokens, attentionPairs);
    else if (decoding > 0) this.#beginDecodeRun(nowMs);
    else this.#state = 'idle';
  }

  #beginMixedStep(nowMs: number, prefillTokens: number, attentionPairs: number): void {
    const { size, contextTokens } = this.#decoding;
    const chunks = this.#chunkTokens.length;
    this.#state = 'mixed';
    this.#prefillTokens += prefillTokens;
    this.#begin(
      nowMs,
      1,
      mixedStepMs(this.#model, prefillTokens, attentionPairs, chunks, size, contextTokens),
    );
  }

  #beginDecodeRun(nowMs: number): void {
    const { size, contextTokens, stepsToNextFinish } = this.#decoding;
    const stepsToFull = Math.floor(this.memory.roomTokens(this.#generatedTokens) / size);
    const steps = Math.max(1, Math.min(stepsToNextFinish, stepsToFull));
    this.#state = 'decoding';
    this.#begin(nowMs, steps, decodeRunMs(this.#model, steps, size, contextTokens));
  }

  #begin(nowMs: number, steps: number, durationMs: number): void {
    this.#startedMs = nowMs;
    this.#steps = steps;
    this.#timers.push(nowMs + durationMs * this.#slowness, this.index, ++this.#version);
  }

  /** Ends the run of decode steps with the step under way, so that an arrival is admitted after it. */
  #cutRun(nowMs: number): void {
    const { size, contextTokens } = this.#decoding;
    const steps = this.#stepsDone(nowMs) + 1;
    if (steps >= this.#steps) return;
    this.#begin(this.#startedMs, steps, decodeRunMs(this.#model, steps, size, contextTokens));
  }

  #stepsDone(nowMs: number): number {
    const { size, contextTokens } = this.#decoding;
    const elapsedMs = (nowMs - this.#startedMs) / this.#slowness;
    return Math.min(this.#steps, decodeStepsWithin(this.#model, elapsedMs, size, contextTokens));
  }

  /** Moves the head of the queue to the prefills, if a sequence and its blocks fit. */
  #admitNext(nowMs: number): RunningRequest | undefined {
    const request = this.#queue.first;
    if (request === undefined) return undefined;
    if (this.#prefilling.length + this.#decoding.size >= this.#model.maxSequences) return undefined;
    if (!this.memory.admit(request, this.#generatedTokens)) return undefined;
    this.#queue.takeFirst();
    this.#prefilling.push(request);
    this.#recomputingTokens += request.generatedTokens;
    request.admission = this.#admissions++;
    if (request.admittedMs === undefined) {
      request.admittedMs = nowMs;
      request.cachedTokens = request.contextTokens;
    }
    return request;
  }

  #applyChunks(): void {
    const chunks = this.#chunkTokens;
    let ready = 0;
    for (let i = 0; i < chunks.length; i++) {
      const request = this.#prefilling[i]!;
      request.prefillLeftTokens -= chunks[i]!;
      request.contextTokens += chunks[i]!;
      if (request.prefillLeftTokens === 0) ready++;
    }
    // Only the last chunk can be a part of its prompt, so those that are ready lead the list.
    const started = this.#prefilling.splice(0, ready);
    for (const request of started) {
      this.#recomputingTokens -= request.generatedTokens;
      if (request.firstTokenMs === undefined) this.#firstTokens.push(request);
      request.generatedTokens++;
      if (request.generatedTokens >= request.outputTokens) this.#complete(request);
      else this.#decoding.add(request);
    }
  }

  #complete(request: RunningRequest): void {
    this.memory.release(request);
    this.#completed.push(request);
  }

  /** A lone sequence is never preempted: it fits by `fits`, and whoever prefills beside it ends soon. */
  #preemptWhileOverfull(): void {
    while (this.memory.isOverfull(this.#generatedTokens) && this.#decoding.size > 1) {
      const request = this.#decoding.takeYoungest()!;
      this.memory.release(request);
      request.preemptions++;
      this.#preemptions++;
      this.#queue.pushFirst(request);
    }
  }

  #notify(nowMs: number): void {
    if (this.#firstTokens.length === 0 && this.#completed.length === 0) return;
    const firstTokens = this.#firstTokens;
    const completed = this.#completed;
    this.#firstTokens = [];
    this.#completed = [];
    for (const request of firstTokens) request.firstTokenMs = nowMs;
    for (const request of completed) request.endedMs = nowMs;
    for (const request of firstTokens) this.#listener.firstToken(request, nowMs);
    for (const request of completed) this.#listener.completed(request, nowMs);
  }

  #countTo(nowMs: number): void {
    this.#requestMs += this.requestCount * (nowMs - this.#countedMs);
    this.#countedMs = nowMs;
  }
}
