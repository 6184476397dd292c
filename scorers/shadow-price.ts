/**
 * Predicts each endpoint's delay in milliseconds and prefers the least: 1 for the cheapest, one half for what
 * costs twice as much. The own prefill is weighted by kappa, its shadow price: what a millisecond of engine time
 * is worth to others at the moment.
 *
 *   queue + memory wait + kappa x own + own x (decodeDelay x decoding + freshDelay x fresh)
 *     + decodeTime x mean output x step / (1 - prefill share)
 *   kappa = min(maxPrice, 1 + congestion x (mean queue + mean waiting x busyness⁴) / mean own + eviction x phi)
 *   waiting  = own prefill of the requests that flow control holds, which wait for endpoints that are busy;
 *   busyness = requests there or memory that they hold, whichever is more, over the mean, at most 1: nobody waits for an
 *              endpoint that has time to spare, and few long prompts leave it none
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
  CostTable,
  CostTerms,
  defineScorer,
  type Endpoint,
  EndpointList,
  type Lead,
  ownPrefillMs,
  type Pressure,
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

    /** In [0, 1] by cost, and by targets if there are any: of what the table has costed, in the order of its list. */
    const scoresOf = (table: CostTable, { slo }: SchedulingContext['request'], least: number): number[] => {
      const rows = [...table.rows()];
      const scores = rows.map((row) => scoreOf(table.total[row]!, least));
      if (sloFit !== 'off') preferMeeting(slo, table, rows, scores, isBestFit(slo));
      return scores;
    };

    /** Every score, with what it is made of. */
    const scoreAll = (
      table: CostTable,
      context: SchedulingContext,
      list: EndpointList,
      pressure: Pressure,
    ): Scores => {
      const terms = new CostTerms();
      const least = table.costAll(context, list, pressure, terms);
      return withTerms(scoresOf(table, context.request, least), terms.named());
    };

    const score: Scorer = (context, endpoints) => {
      const scores = scoreAll(costs, context, EndpointList.of(endpoints), pressureOf(context));
      noteCached(context, costs.mostCachedTokens);
      return scores;
    };

    const lead = (context: SchedulingContext, list: EndpointList): Lead | undefined => {
      const holders = context.holders?.();
      if (holders === undefined) return undefined;
      const pressure = pressureOf(context);
      const { slo } = context.request;
      const hasTargets = sloFit !== 'off' && (slo.ttftMs !== undefined || slo.tpotMs !== undefined);
      const found = hasTargets
        ? leadByTargets(context, list, pressure)
        : leadByCost(context, list, pressure, holders);
      if (found === undefined) return undefined;
      noteCached(context, costs.mostCachedTokens);
      const all = () => scoreAll(laterCosts, context, list, pressure);
      // Not a spread: a function behind one makes V8 give each object a hidden class of its own.
      return { places: found.places, scores: found.scores, all };
    };

    const leadByCost = (
      context: SchedulingContext,
      list: EndpointList,
      pressure: Pressure,
      holders: readonly number[],
    ): Omit<Lead, 'all'> | undefined => {
      const found = costs.findLeast(context, list, pressure, holders);
      if (found === undefined) return undefined;
      const { least, rows } = found;
      const places: number[] = [];
      const scores: number[] = [];
      for (const row of rows) {
        const cost = scoreOf(costs.total[row]!, least);
        places.push(costs.placeOf(row));
        // Without targets all meet them.
        scores.push(sloFit === 'off' ? cost : 0.5 + cost / 2);
      }
      return { places, scores };
    };

    const leadByTargets = (
      context: SchedulingContext,
      list: EndpointList,
      pressure: Pressure,
    ): Omit<Lead, 'all'> | undefined => {
      const least = costs.costAll(context, list, pressure);
      if (Number.isNaN(least)) return undefined;
      const scores = scoresOf(costs, context.request, least);
      let most = 0;
      for (const each of scores) if (each > most) most = each;
      const places = [...scores.keys()].filter((place) => scores[place]! * nearly >= most);
      return { places, scores: places.map((place) => scores[place]!) };
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

/** Puts the endpoints that meet the targets above one half and the others below; nothing if none meets them. */
function preferMeeting(
  { ttftMs = Number.POSITIVE_INFINITY, tpotMs = Number.POSITIVE_INFINITY }: Slo,
  { ttftMs: predictedTtftMs, stepMs }: CostTable,
  rows: readonly number[],
  scores: number[],
  isBestFit: boolean,
): void {
  const meets = rows.map((row) => predictedTtftMs[row]! <= ttftMs && stepMs[row]! <= tpotMs);
  if (!meets.includes(true)) return;
  const usesTtft = Number.isFinite(ttftMs);
  for (let i = 0; i < scores.length; i++) {
    const fit = isBestFit && usesTtft ? predictedTtftMs[rows[i]!]! / ttftMs : scores[i]!;
    scores[i] = meets[i] === true ? 0.5 + fit / 2 : scores[i]! / 2;
  }
}
