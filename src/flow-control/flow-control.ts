import type { ServiceError } from '../protocol/errors.ts';
import { Deadlines } from './deadlines.ts';
import { DrainRate } from './drain-rate.ts';
import { KeptPlace, type Shortage } from './kept-place.ts';
import { clientClosed, lineFull, noEndpoints, shuttingDown, timedOut, tooLateForTarget } from './refusals.ts';
import { TenantShares } from './tenant-shares.ts';
import { createWaiting, type Waiting, type WaitingFacts } from './waiting.ts';
import { WaitingLine } from './waiting-line.ts';

export interface FlowControlLimits {
  readonly maxQueuedRequests: number;
  readonly maxQueuedBytes: number;
  /** Longest wait, by priority; `defaultTtlMs` for the others. */
  readonly ttlMs: ReadonlyMap<number, number>;
  readonly defaultTtlMs: number;
  /** Milliseconds of own work that a millisecond of waiting is worth in the order; 1 is close to first come. */
  readonly ageWeight: number;
  /** Waiting requests that one event looks at in vain before it gives up. */
  readonly scanned: number;
}

export const defaultLimits: FlowControlLimits = Object.freeze({
  maxQueuedRequests: 5000,
  maxQueuedBytes: 1024 ** 3,
  ttlMs: new Map<number, number>(),
  defaultTtlMs: 60_000,
  ageWeight: 0.1,
  scanned: 64,
});

/** One look at the pool, kept current with what it sends. */
export interface Round {
  /** Some endpoint can take more; those that are kept for a request count if `isKeptOpen`. */
  hasRoom(isKeptOpen: boolean): boolean;
  /** Some endpoint that had no room when the earlier round began had room when this one did. */
  hasGainedSince(earlier: this): boolean;
  readonly readyEndpoints: number;
  /** Of these, as many as our requests fill: those of other replicas fill the rest. */
  readonly ownEndpoints: number;
}

/** What a decision found at the endpoint that would be best. */
export interface Found {
  /** Own work. */
  readonly ownMs: number;
  /** Tokens to compute. */
  readonly tokens: number;
  /** Tokens of memory that it needs beyond what is held there. */
  readonly neededTokens: number;
}

/** What came of one decision. */
export type Offer<T> =
  | (Found & { readonly kind: 'placed'; readonly value: T })
  | (Found & {
      readonly kind: 'no-room';
      /** It would have room if it were smaller. */
      readonly shortage?: Shortage | undefined;
    });

export interface AdmissionRequest<T, R extends Round> extends WaitingFacts {
  /** Wait that is not worth beginning, milliseconds: the target for the first token. */
  readonly ttftSloMs: number | undefined;
  /** Undefined: whoever asks never gives up. */
  readonly signal: AbortSignal | undefined;
  /**
   * Decides, and reserves if the endpoint has room, in one synchronous step. An error it throws ends the wait.
   * `isOverShare`: its tenant takes more than its share, and leaves some room to the others.
   */
  readonly decide: (round: R, isOverShare: boolean) => Offer<T>;
}

/** What becomes of a request: exactly one of these is called, once. */
export interface AdmissionListener<T> {
  readonly placed: (value: T) => void;
  /** `overloaded`, `queue_timeout`, `client_closed`, `shutting_down`, or what `decide` has thrown. */
  readonly refused: (error: unknown) => void;
}

export interface FlowControlOptions<R extends Round> {
  readonly limits: () => FlowControlLimits;
  readonly beginRound: () => R;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Calls back once after that time, unless the function returned is called before. */
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
}

interface Held<R extends Round> {
  readonly request: AdmissionRequest<unknown, R>;
  readonly listener: AdmissionListener<unknown>;
}

/**
 * Late binding: a request goes to the endpoint that is best for it as soon as that has room, and waits here
 * until then, where it can still choose. Below saturation nothing waits.
 *
 *     arrive ── best has room ─────────────────────────────▶ placed
 *        └─ no room ─▶ waiting ── roomChanged ─▶ placed
 *              │          └─ aborted, too late, displaced, shutting down ─▶ refused
 *              └─ full, or the wait would break the SLO ─▶ refused
 *
 * Event-driven, nothing ticks: arrivals, `roomChanged`, and one timer for the next deadline. An arrival costs one
 * decision and O(log n); an event looks at `scanned` waiting requests at most beyond those that it places.
 */
export class FlowControl<R extends Round> {
  readonly #options: FlowControlOptions<R>;
  readonly #line: WaitingLine<Held<R>>;
  readonly #deadlines: Deadlines<Held<R>>;
  readonly #drain = new DrainRate();
  readonly #shares = new TenantShares();
  readonly #kept = new KeptPlace<Held<R>>();
  /** The last round in which nothing could be placed. */
  #fruitless: { readonly round: R; readonly atMs: number } | undefined;
  #isScanning = false;
  /** Who had a place kept has left without it: others may go there. */
  #isPlaceFree = false;
  /** Runs while no endpoint is ready. */
  #cancelPatience: (() => void) | undefined;
  #isShutDown = false;

  constructor(options: FlowControlOptions<R>) {
    this.#options = options;
    this.#line = new WaitingLine(options.limits().ageWeight);
    const { clock, schedule } = options;
    this.#deadlines = new Deadlines({ clock, schedule, onDue: () => this.#expire() });
  }

  get waitingRequests(): number {
    return this.#line.size;
  }

  /** Those that wait, as they came in, in no particular order. */
  *waiting(): Iterable<AdmissionRequest<unknown, R>> {
    for (const { request } of this.#deadlines) yield request.request;
  }

  /**
   * Own prefill of the requests that wait and compete with one of this kind, each at the endpoint that was best for
   * it: those of higher priority, and of its own as much of each other tenant's as of its own tenant's.
   */
  competingMs(request: Pick<WaitingFacts, 'priority' | 'tenant'>): number {
    return this.#line.competingMs(request);
  }

  get waitingBytes(): number {
    return this.#line.bytes;
  }

  /** The same as a promise. */
  admit<T>(request: AdmissionRequest<T, R>): Promise<T> {
    return new Promise((placed, refused) => this.enter(request, { placed, refused }));
  }

  /** Tells the listener within this call if the request is placed or refused at once, later if it waits. */
  enter<T>(request: AdmissionRequest<T, R>, listener: AdmissionListener<T>): void {
    let offer: Offer<T>;
    try {
      if (this.#isShutDown) throw shuttingDown();
      if (request.signal?.aborted === true) throw clientClosed();
      const round = this.#options.beginRound();
      offer = request.decide(round, this.#isOverShare(request));
      if (offer.kind === 'no-room') {
        this.#checkWait(request, offer.ownMs, round);
        this.#makePlace(request, round);
      }
    } catch (error) {
      listener.refused(error);
      return;
    }
    if (offer.kind === 'no-room') this.#wait(request, offer, listener);
    else {
      this.#line.charge(request, offer.tokens);
      this.#kept.gave(offer.neededTokens);
      this.#shares.served(request.tenant, offer.tokens, this.#options.clock());
      listener.placed(offer.value);
    }
  }

  /** Places what can be placed now. To be called whenever an endpoint may have room. */
  roomChanged(): void {
    if (this.#line.size === 0 || this.#isScanning) return;
    const round = this.#options.beginRound();
    const holder = this.#kept.holderAt(this.#options.clock());
    const before = this.#line.size;
    let left = this.#options.limits().scanned;
    const goesOn = () => left > 0 && round.hasRoom(this.#kept.isOpenToSome(this.#line.highestPriority));
    if (holder === undefined && (!goesOn() || this.#isInVain(round))) return;
    this.#isScanning = true;
    try {
      this.#line.scan((waiting) => {
        if (!this.#tryPlace(waiting, round)) left--;
        return goesOn() && !(waiting === holder && this.#isInVain(round));
      }, holder);
    } finally {
      this.#isScanning = false;
    }
    const isFruitless = this.#line.size === before;
    this.#fruitless = isFruitless ? { round, atMs: this.#options.clock() } : undefined;
    this.#afterChange();
  }

  /** To be called when an endpoint may not be ready any more: without any, nobody waits for longer than a moment. */
  endpointLost(): void {
    if (this.#line.size === 0 || this.#cancelPatience !== undefined) return;
    if (this.#options.beginRound().readyEndpoints > 0) return;
    this.#cancelPatience = this.#options.schedule(withoutEndpointsMs, () => {
      this.#cancelPatience = undefined;
      if (this.#options.beginRound().readyEndpoints > 0) return;
      for (const waiting of [...this.#deadlines]) this.#refuse(waiting, noEndpoints(this.#waitedMs(waiting)));
      this.#afterChange();
    });
  }

  #waitedMs({ arrivedAtMs }: Waiting<Held<R>>): number {
    return Math.round(this.#options.clock() - arrivedAtMs);
  }

  /** Nobody wanted the room that there is, a moment ago. */
  #isInVain(round: R): boolean {
    if (this.#fruitless === undefined) return false;
    const isRecent = this.#options.clock() - this.#fruitless.atMs < looksAgainAfterMs;
    return isRecent && !round.hasGainedSince(this.#fruitless.round);
  }

  /** Refuses all that wait and all that come. */
  shutDown(): void {
    this.#isShutDown = true;
    for (const waiting of [...this.#deadlines]) this.#refuse(waiting, shuttingDown());
    this.#afterChange();
  }

  /** Throws if the counters disagree. */
  checkIntegrity(): void {
    this.#line.checkIntegrity();
    if (this.#deadlines.size !== this.#line.size) {
      throw new Error(`${this.#line.size} requests wait, ${this.#deadlines.size} have a deadline`);
    }
    if (this.#line.size === 0 && this.#deadlines.hasTimer) throw new Error('a timer runs for nobody');
  }

  #wait<T>(
    request: AdmissionRequest<T, R>,
    { ownMs, tokens }: Offer<T>,
    listener: AdmissionListener<T>,
  ): void {
    const { limits, clock } = this.#options;
    const { signal } = request;
    const abort = () => {
      this.#refuse(waiting, clientClosed());
      this.#afterChange();
    };
    const held: Held<R> = {
      request,
      listener: {
        placed: (value) => {
          signal?.removeEventListener('abort', abort);
          listener.placed(value as T);
        },
        refused: (error) => {
          signal?.removeEventListener('abort', abort);
          listener.refused(error);
        },
      },
    };
    const waiting = createWaiting(request, held, clock());
    waiting.ownMs = ownMs;
    waiting.tokens = tokens;
    const { ttlMs, defaultTtlMs } = limits();
    this.#drain.start(clock());
    this.#line.add(waiting);
    this.#deadlines.add(waiting, clock() + (ttlMs.get(request.priority) ?? defaultTtlMs));
    signal?.addEventListener('abort', abort, { once: true });
    this.#afterChange();
  }

  #tryPlace(waiting: Waiting<Held<R>>, round: R): boolean {
    const { request, listener } = waiting.request;
    let offer: Offer<unknown>;
    try {
      offer = request.decide(round, this.#isOverShare(request));
    } catch (error) {
      this.#refuse(waiting, error);
      return true;
    }
    if (offer.kind === 'no-room') {
      this.#line.reestimate(waiting, offer.ownMs, offer.tokens);
      const { shortage } = offer;
      return (
        shortage !== undefined && this.#keepPlace(waiting, shortage, round) && this.#tryPlace(waiting, round)
      );
    }
    this.#kept.gave(offer.neededTokens);
    this.#drain.served(offer.ownMs, this.#options.clock());
    this.#line.remove(waiting, offer.tokens);
    this.#shares.served(request.tenant, offer.tokens, this.#options.clock());
    this.#deadlines.remove(waiting);
    this.#kept.left(waiting);
    listener.placed(offer.value);
    return true;
  }

  /** True if a place is kept for it from now on. */
  #keepPlace(waiting: Waiting<Held<R>>, shortage: Shortage, { ownEndpoints }: R): boolean {
    const nowMs = this.#options.clock();
    if (!this.#kept.isDue(waiting, shortage, ownEndpoints, nowMs)) return false;
    if (this.#isOverShare(waiting)) return false;
    const place = shortage.keepPlace();
    if (place === undefined) return false;
    this.#kept.keep(waiting, place, this.#deadlines, nowMs);
    return true;
  }

  #isOverShare({ tenant }: WaitingFacts): boolean {
    return this.#shares.isOver(tenant, this.#options.clock());
  }

  #refuse(waiting: Waiting<Held<R>>, error: unknown): void {
    if (!waiting.isWaiting) return;
    this.#line.remove(waiting);
    this.#deadlines.remove(waiting);
    if (this.#kept.left(waiting)) this.#isPlaceFree = true;
    waiting.request.listener.refused(error);
  }

  /** Refuses at once what would wait for longer than its target. */
  #checkWait({ ttftSloMs, ...facts }: AdmissionRequest<unknown, R>, ownMs: number, round: R): void {
    if (ttftSloMs === undefined) return;
    const waitMs = this.#expectedWaitMs(facts, ownMs, round);
    if (waitMs > ttftSloMs) throw tooLateForTarget(waitMs, ttftSloMs);
  }

  #makePlace(request: AdmissionRequest<unknown, R>, round: R): void {
    const { maxQueuedRequests, maxQueuedBytes } = this.#options.limits();
    if (request.bytes > maxQueuedBytes) throw this.#full(request, round);
    const isFull = () =>
      this.#line.size + 1 > maxQueuedRequests || this.#line.bytes + request.bytes > maxQueuedBytes;
    while (isFull()) {
      const victim = this.#line.victimOf(request);
      if (victim === undefined) throw this.#full(request, round);
      this.#refuse(victim, this.#full(victim, round));
    }
  }

  #full(facts: WaitingFacts, round: R): ServiceError {
    return lineFull(this.#line.size, this.#expectedWaitMs(facts, Number.POSITIVE_INFINITY, round));
  }

  #expectedWaitMs(facts: WaitingFacts, ownMs: number, { readyEndpoints }: R): number {
    return this.#drain.waitMs(this.#line.aheadMs(facts, ownMs), readyEndpoints, this.#options.clock());
  }

  #expire(): void {
    const { clock, beginRound } = this.#options;
    const nowMs = clock();
    const round = beginRound();
    for (;;) {
      const late = this.#deadlines.passedAt(nowMs);
      if (late === undefined) break;
      const waitedMs = this.#waitedMs(late);
      this.#refuse(
        late,
        round.readyEndpoints === 0
          ? noEndpoints(waitedMs)
          : timedOut(waitedMs, this.#expectedWaitMs(late, late.ownMs, round)),
      );
    }
    this.#afterChange();
  }

  #afterChange(): void {
    if (this.#line.size === 0) {
      this.#drain.stop(this.#options.clock());
      this.#cancelPatience?.();
      this.#cancelPatience = undefined;
    }
    this.#deadlines.setTimer();
    if (!this.#isPlaceFree) return;
    this.#isPlaceFree = false;
    this.#fruitless = undefined;
    this.roomChanged();
  }
}

/** Caches and costs change without an event. */
const looksAgainAfterMs = 100;
/** An engine that breaks one connection is tried again after half a second. */
const withoutEndpointsMs = 5000;
