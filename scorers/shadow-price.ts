/**
 * Predicts each endpoint's delay in milliseconds and prefers the least: 1 for the cheapest, one half for what
 * costs twice as much. The own prefill is weighted by kappa, its shadow price: what a millisecond of engine time
 * is worth to others at the moment.
 *
 *   queue + memory wait + kappa x own + own x (decodeDelay x decoding + freshDelay x fresh)
 *     + decodeTime x mean output x step / (1 - prefill share)
 *   kappa = min(maxPrice, 1 + congestion x (mean queue + mean waiting x busyness²) / mean own + eviction x phi)
 *   waiting  = own prefill of the requests that flow control holds, which wait for endpoints that are busy;
 *   busyness = requests there over the mean, at most 1: nobody waits for an endpoint that has time to spare
 *   phi      = share of prompt blocks that were asked for before and are on no endpoint now
 *   fresh    = answers that have just begun, and those about to: many will be short, and one prefill between two of
 *              their few tokens is all that their readers see of the pace
 *   prefill share: of the engine's time lately; steps that decode share the engine with it
 *
 * A request with targets (TTFT, TPOT) prefers the endpoints that are predicted to meet them, if any does: by
 * `sloFit`, `filter` takes the cheapest of these, `best-fit` the one that meets them most narrowly, which leaves
 * the fast ones to stricter requests; `off` looks at cost alone. A strict objective is always fitted best.
 *
 * All terms are in the decision record. It needs no other scorer beside it: their units would not be these.
 */
import {
  defineScorer,
  type Endpoint,
  EndpointRows,
  type Lead,
  ownPrefillMs,
  prefillWork,
  RecentBlocks,
  type SchedulingContext,
  type Scorer,
  type Scores,
  type Slo,
  uncachedTokens,
  withTerms,
} from 'pointsman/scheduling';

const sloFits: readonly string[] = ['filter', 'best-fit', 'off'];

/** How fast the shares and means forget, per request. */
const evictionMemory = 0.998;
const ownMemory = 0.99;
const unknownOwnMs = 50;
/** Below it, own prefill says nothing about how much work requests bring. */
const leastOwnMs = 5;
/** An engine that only prefills decodes at some pace all the same. */
const mostPrefillShare = 0.9;
/** Costs this close to the least may give the same score. */
const nearly = 1 + 1e-9;

export default defineScorer({
  description: 'The least predicted delay in milliseconds, own work at its shadow price.',
  defaults: {
    congestion: 1,
    eviction: 10,
    maxPrice: 50,
    decodeDelay: 0.02,
    freshDelay: 0.3,
    decodeTime: 0.05,
    memoryTarget: 0.98,
    sloFit: 'filter',
  },
  create: ({ sloFit, ...weights }): Scorer => {
    if (!sloFits.includes(sloFit))
      throw new Error(`sloFit is "${sloFit}"; expected one of ${sloFits.join(', ')}`);
    for (const [name, value] of Object.entries(weights)) {
      if (!(value >= 0)) throw new Error(`${name} is ${value}; it must be 0 or more`);
    }
    const costs = new CostTable(weights);
    /** For records that are read later: those that decide keep their rows. */
    const laterCosts = new CostTable(weights);
    const recent = new RecentBlocks();
    let evictedBlocks = 0;
    let promptBlocks = 0;
    let meanOwnMs: number | undefined;
    /** Of the last scoring, for `chosen`. */
    let cachedBlocks = 0;

    const isBestFit = ({ isStrict }: Slo) => sloFit === 'best-fit' || isStrict === true;

    const pressureOf = ({ waitingMs = 0 }: SchedulingContext): Pressure => ({
      waitingMs,
      meanOwnMs: meanOwnMs ?? unknownOwnMs,
      evictedShare: promptBlocks > 0 ? evictedBlocks / promptBlocks : 0,
    });

    const noteCached = ({ request }: SchedulingContext, mostCachedTokens: number): void => {
      cachedBlocks = Math.floor(mostCachedTokens / request.prefix.blockTokens);
    };

    /** In [0, 1] by cost, and by targets if there are any. Writes into the table. */
    const scoresOf = (
      table: CostTable,
      { slo }: SchedulingContext['request'],
      least: number,
    ): Float64Array => {
      const { count, total, score } = table;
      for (let i = 0; i < count; i++) score[i] = scoreOf(total[i]!, least);
      if (sloFit !== 'off') preferMeeting(slo, table, isBestFit(slo));
      return score;
    };

    /** Every score, with what it is made of. */
    const scoreAll = (
      table: CostTable,
      context: SchedulingContext,
      endpoints: readonly Endpoint[],
      pressure: Pressure,
    ): Scores => {
      table.refresh(endpoints);
      table.ask(context, endpoints);
      const terms = new CostTerms();
      const least = table.cost(context.request.promptTokens, pressure, terms);
      const score = scoresOf(table, context.request, least);
      return withTerms(Array.from(score.subarray(0, table.count)), terms.named());
    };

    const score: Scorer = (context, endpoints) => {
      const scores = scoreAll(costs, context, endpoints, pressureOf(context));
      noteCached(context, costs.mostCachedTokens);
      return scores;
    };

    const lead = (context: SchedulingContext, endpoints: readonly Endpoint[]): Lead | undefined => {
      const holders = context.holders?.();
      if (holders === undefined) return undefined;
      const pressure = pressureOf(context);
      costs.refresh(endpoints);
      costs.askHolders(context, endpoints, holders);
      const least = costs.cost(context.request.promptTokens, pressure);
      if (Number.isNaN(least)) return undefined;
      noteCached(context, costs.mostCachedTokens);
      return {
        ...leaders(context.request, least),
        all: () => scoreAll(laterCosts, context, endpoints, pressure),
      };
    };

    /** Those that score highest or nearly so. */
    const leaders = (request: SchedulingContext['request'], least: number): Omit<Lead, 'all'> => {
      const { slo } = request;
      const { count, total } = costs;
      const places: number[] = [];
      const hasTargets = slo.ttftMs !== undefined || slo.tpotMs !== undefined;
      if (sloFit !== 'off' && hasTargets) {
        const score = scoresOf(costs, request, least);
        let most = 0;
        for (let i = 0; i < count; i++) if (score[i]! > most) most = score[i]!;
        for (let i = 0; i < count; i++) if (score[i]! * nearly >= most) places.push(i);
        return { places, scores: places.map((i) => score[i]!) };
      }
      for (let i = 0; i < count; i++) if (total[i]! <= least * nearly) places.push(i);
      // Without targets all meet them.
      const fitted = (cost: number) => (sloFit === 'off' ? cost : 0.5 + cost / 2);
      return { places, scores: places.map((i) => fitted(scoreOf(total[i]!, least))) };
    };

    const chosen = (context: SchedulingContext, endpoint: Endpoint): void => {
      const { prefix, promptTokens } = context.request;
      const evicted = recent.countKnownAndAdd(prefix, cachedBlocks);
      evictedBlocks = evictedBlocks * evictionMemory + evicted;
      promptBlocks = promptBlocks * evictionMemory + prefix.count;
      const ownMs = Math.max(
        leastOwnMs,
        ownPrefillMs(endpoint, promptTokens, uncachedTokens(context, endpoint)),
      );
      meanOwnMs = meanOwnMs === undefined ? ownMs : ownMemory * meanOwnMs + (1 - ownMemory) * ownMs;
    };
    return Object.assign(score, { chosen, lead });
  },
});

/** 1 for the least cost, one half for twice as much. */
function scoreOf(cost: number, least: number): number {
  return cost <= least ? 1 : least / cost;
}

/** What makes own work dear. */
interface Pressure {
  readonly waitingMs: number;
  readonly meanOwnMs: number;
  /** phi */
  readonly evictedShare: number;
}

interface Weights {
  readonly congestion: number;
  readonly eviction: number;
  readonly maxPrice: number;
  readonly decodeDelay: number;
  readonly freshDelay: number;
  readonly decodeTime: number;
  readonly memoryTarget: number;
}

/** The six terms in milliseconds, `[endpoints]` each. */
class CostTerms {
  readonly queue: number[] = [];
  readonly memory: number[] = [];
  readonly own: number[] = [];
  readonly priced: number[] = [];
  readonly delay: number[] = [];
  readonly decode: number[] = [];

  named(): Parameters<typeof withTerms>[1] {
    return [
      { name: 'queue', unit: 'ms', values: this.queue },
      { name: 'memory wait', unit: 'ms', values: this.memory },
      { name: 'own prefill', unit: 'ms', values: this.own },
      { name: 'price of own prefill', unit: 'ms', values: this.priced },
      { name: 'delay of answers', unit: 'ms', values: this.delay },
      { name: 'decode', unit: 'ms', values: this.decode },
    ];
  }
}

const column = (): Float64Array => new Float64Array(0);

/** The cost of one request on every endpoint, from columns that change only with the endpoints. */
class CostTable {
  readonly #weights: Weights;
  readonly #rows = new EndpointRows();
  /** All columns are `[endpoints]`, and longer. */
  #pending = column();
  #requests = column();
  #prefillMsPerToken = column();
  #queue = column();
  #held = column();
  #mostHeld = column();
  #outputTokens = column();
  #releasable = column();
  #delay = column();
  #decode = column();
  #uncached = column();
  stepMs = column();
  /** Of the last costing. */
  total = column();
  ttftMs = column();
  /** Whoever scores writes here. */
  score = column();
  count = 0;
  mostCachedTokens = 0;

  constructor(weights: Weights) {
    this.#weights = weights;
  }

  /** Brings the columns up to date with the list. */
  refresh(endpoints: readonly Endpoint[]): void {
    this.count = endpoints.length;
    if (this.total.length < this.count) this.#grow(Math.max(16, 2 * this.count));
    this.#rows.refresh(endpoints, this.#derive);
  }

  /** Asks for each endpoint what it has cached of the prompt. */
  ask(context: SchedulingContext, endpoints: readonly Endpoint[]): void {
    this.mostCachedTokens = 0;
    for (let i = 0; i < endpoints.length; i++) this.#note(context, endpoints[i]!, i);
  }

  /** The same, where all that have anything cached are known. */
  askHolders(context: SchedulingContext, endpoints: readonly Endpoint[], holders: readonly number[]): void {
    this.mostCachedTokens = 0;
    this.#uncached.fill(Math.max(1, context.request.promptTokens), 0, this.count);
    for (const slot of holders) {
      const place = this.#rows.placeOf(slot);
      if (place !== undefined) this.#note(context, endpoints[place]!, place);
    }
  }

  #note(context: SchedulingContext, endpoint: Endpoint, place: number): void {
    this.#uncached[place] = uncachedTokens(context, endpoint);
    this.mostCachedTokens = Math.max(this.mostCachedTokens, context.cachedTokens(endpoint));
  }

  /** Fills `total` and `ttftMs`, and the terms if given; returns the least total, NaN if one of them is. */
  cost(promptTokens: number, pressure: Pressure, terms?: CostTerms): number {
    const { count, total, ttftMs, stepMs } = this;
    const pending = this.#pending;
    const requests = this.#requests;
    const prefillMsPerToken = this.#prefillMsPerToken;
    const queue = this.#queue;
    const held = this.#held;
    const mostHeld = this.#mostHeld;
    const outputTokens = this.#outputTokens;
    const releasable = this.#releasable;
    const delayShare = this.#delay;
    const decode = this.#decode;
    const uncached = this.#uncached;
    const { congestion, eviction, maxPrice } = this.#weights;
    const { waitingMs } = pressure;
    let queueMs = 0;
    let allRequests = 0;
    for (let i = 0; i < count; i++) {
      queueMs += pending[i]!;
      allRequests += requests[i]!;
    }
    const meanRequests = allRequests / count;
    const perMs = congestion / (count * pressure.meanOwnMs);
    const evicted = eviction * pressure.evictedShare;
    const wholeTokens = Math.max(1, promptTokens);
    const wholeWork = prefillWork(promptTokens, wholeTokens);
    let kappa = Math.min(maxPrice, 1 + queueMs * perMs + evicted);
    let least = Number.POSITIVE_INFINITY;
    let hasNaN = false;
    for (let i = 0; i < count; i++) {
      const tokens = uncached[i]!;
      const work = tokens === wholeTokens ? wholeWork : prefillWork(promptTokens, tokens);
      const ownMs = prefillMsPerToken[i]! * work;
      const missing = held[i]! + tokens - mostHeld[i]!;
      const memoryMs = missing > 0 ? (missing * stepMs[i]! * outputTokens[i]!) / releasable[i]! : 0;
      if (waitingMs > 0) {
        const busyness = meanRequests > 0 ? Math.min(1, requests[i]! / meanRequests) : 0;
        kappa = Math.min(maxPrice, 1 + (queueMs + waitingMs * busyness ** 2) * perMs + evicted);
      }
      const pricedMs = (kappa - 1) * ownMs;
      const delayMs = ownMs * delayShare[i]!;
      const cost = queue[i]! + memoryMs + ownMs + pricedMs + delayMs + decode[i]!;
      total[i] = cost;
      ttftMs[i] = ownMs + queue[i]! + memoryMs;
      if (cost < least) least = cost;
      hasNaN ||= Number.isNaN(cost);
      if (terms === undefined) continue;
      terms.queue.push(queue[i]!);
      terms.memory.push(memoryMs);
      terms.own.push(ownMs);
      terms.priced.push(pricedMs);
      terms.delay.push(delayMs);
      terms.decode.push(decode[i]!);
    }
    return hasNaN ? Number.NaN : least;
  }

  readonly #derive = ({ inFlight, learned }: Endpoint, i: number): void => {
    const { decodeDelay, freshDelay, decodeTime, memoryTarget } = this.#weights;
    const { requests, waitingForFirstToken: waiting } = inFlight;
    this.#pending[i] = learned.pendingPrefillMs;
    this.#requests[i] = requests;
    this.#prefillMsPerToken[i] = learned.prefillMsPerToken;
    this.#queue[i] = learned.pendingPrefillMs + learned.othersPrefillMs;
    // As `memoryWaitMs`.
    const isUnbounded = learned.kvCapacityTokens === undefined || requests === 0;
    this.#held[i] = learned.heldTokens;
    this.#mostHeld[i] = isUnbounded ? Number.POSITIVE_INFINITY : memoryTarget * learned.kvCapacityTokens;
    this.#outputTokens[i] = learned.meanOutputTokens;
    this.#releasable[i] = Math.max(1, learned.releasableTokens);
    this.#delay[i] = decodeDelay * (requests - waiting) + freshDelay * (learned.freshAnswers + waiting);
    const decodeShare = 1 - Math.min(mostPrefillShare, learned.prefillShare);
    this.#decode[i] = (decodeTime * learned.meanOutputTokens * learned.stepMs) / decodeShare;
    this.stepMs[i] = learned.stepMs;
  };

  #grow(length: number): void {
    const longer = (old: Float64Array) => {
      const grown = new Float64Array(length);
      grown.set(old);
      return grown;
    };
    this.#pending = longer(this.#pending);
    this.#requests = longer(this.#requests);
    this.#prefillMsPerToken = longer(this.#prefillMsPerToken);
    this.#queue = longer(this.#queue);
    this.#held = longer(this.#held);
    this.#mostHeld = longer(this.#mostHeld);
    this.#outputTokens = longer(this.#outputTokens);
    this.#releasable = longer(this.#releasable);
    this.#delay = longer(this.#delay);
    this.#decode = longer(this.#decode);
    this.#uncached = longer(this.#uncached);
    this.stepMs = longer(this.stepMs);
    this.total = longer(this.total);
    this.ttftMs = longer(this.ttftMs);
    this.score = longer(this.score);
  }
}

/** Puts the endpoints that meet the targets above one half and the others below; nothing if none meets them. */
function preferMeeting(
  { ttftMs = Number.POSITIVE_INFINITY, tpotMs = Number.POSITIVE_INFINITY }: Slo,
  { count, ttftMs: predictedTtftMs, stepMs, score }: CostTable,
  isBestFit: boolean,
): void {
  const meets = (i: number) => predictedTtftMs[i]! <= ttftMs && stepMs[i]! <= tpotMs;
  let doesAnyMeet = false;
  for (let i = 0; i < count && !doesAnyMeet; i++) doesAnyMeet = meets(i);
  if (!doesAnyMeet) return;
  const usesTtft = Number.isFinite(ttftMs);
  for (let i = 0; i < count; i++) {
    const fit = isBestFit && usesTtft ? predictedTtftMs[i]! / ttftMs : score[i]!;
    score[i] = meets(i) ? 0.5 + fit / 2 : score[i]! / 2;
  }
}
