import { clampScore } from './clamp-score.ts';
import type { Endpoint } from './endpoint.ts';
import { EndpointList } from './endpoint-list.ts';
import { leadingOf } from './leading.ts';
import { choiceOf, withOutcome } from './led-result.ts';
import maxScore from './pickers/max-score.ts';
import type { Filter, Picker, ScoredEndpoint, Scorer } from './plugins.ts';
import type { PluginKind, SchedulingContext } from './scheduling-context.ts';
import type {
  CandidateState,
  FilterStep,
  PluginFailure,
  SchedulingResult,
  ScoreStep,
} from './scheduling-result.ts';

export interface ProfileOptions {
  readonly name: string;
  /** Run in order; each sees what the one before has kept. */
  readonly filters: readonly { readonly name: string; readonly filter: Filter }[];
  /** Weights are not normalised: only their ratios matter. */
  readonly scorers: readonly { readonly name: string; readonly weight: number; readonly scorer: Scorer }[];
  readonly picker: { readonly name: string; readonly picker: Picker };
}

export interface Profile {
  readonly name: string;
  /**
   * Never throws because of a plugin: a filter or scorer that fails is skipped, a failing picker is replaced
   * by `max-score`, and the record's `failures` says so. `ranking` is empty when no endpoint was left.
   * Each plugin gets a copy of the list, so that one that sorts it in place confuses only itself.
   * `durationMs` is 0; whoever owns a clock fills it in.
   */
  run(context: SchedulingContext, endpoints: readonly Endpoint[] | EndpointList): SchedulingResult;
  /** The same, but no plugin is told of the choice: the request may yet wait, and be decided again. */
  propose(context: SchedulingContext, endpoints: readonly Endpoint[] | EndpointList): SchedulingResult;
  /** Tells the plugins that the request goes to `choice`; returns those that failed at it. */
  confirm(context: SchedulingContext, choice: Endpoint): readonly PluginFailure[];
}

const fallbackPicker = maxScore.create({});

/** A named pipeline: filters, then weighted scorers, then one picker. */
export function createProfile(options: ProfileOptions): Profile {
  const { name, filters, scorers, picker } = options;
  const listeners = choiceListeners(filters, scorers);
  const states = new CandidateStates();
  const leading = leadingOf(options, (endpoint, cachedTokens) => states.of(endpoint, cachedTokens));
  const passes = filters.map((each) => Object.freeze({ filter: each.name, removed: noNames }));
  const profile: Profile = {
    name,
    run(context, endpoints) {
      const result = profile.propose(context, endpoints);
      const choice = choiceOf(result);
      const failures = choice === undefined ? noFailures : profile.confirm(context, choice);
      if (failures.length === 0) return result;
      const all = [...result.failures, ...failures];
      return withOutcome(result, { failures: all, queuedMs: 0, durationMs: result.durationMs });
    },
    propose(context, given) {
      const led = leading?.(context, EndpointList.of(given), (all) => {
        const steps: FilterStep[] = [];
        const failures: PluginFailure[] = [];
        const kept = runFilters({ filters, passes }, context, all, steps, failures);
        return failures.length === 0 ? { kept, steps } : undefined;
      });
      if (led !== undefined) return led;
      const endpoints = given instanceof EndpointList ? given.flat : given;
      const failures: PluginFailure[] = [];
      const filterSteps: FilterStep[] = [];
      const candidates = runFilters({ filters, passes }, context, endpoints, filterSteps, failures);
      const { steps: scoreSteps, totals } = runScorers(scorers, context, candidates, failures);
      const ranking = runPicker(picker, context, candidates, totals, failures);
      return {
        profile: name,
        requestId: context.request.id,
        model: context.request.model,
        promptTokens: context.request.promptTokens,
        considered: endpoints.length,
        filters: filterSteps,
        candidates: candidates.map((endpoint) => states.of(endpoint, context.cachedTokens(endpoint))),
        scores: scoreSteps,
        totals,
        tied: countBest(totals),
        picker: picker.name,
        failures,
        ranking,
        durationMs: 0,
      };
    },
    confirm: (context, choice) => tell(listeners, context, choice),
  };
  return Object.freeze(profile);
}

interface Listener {
  readonly kind: 'filter' | 'scorer';
  readonly name: string;
  readonly chosen: (context: SchedulingContext, endpoint: Endpoint) => void;
}

function choiceListeners(
  filters: ProfileOptions['filters'],
  scorers: ProfileOptions['scorers'],
): readonly Listener[] {
  return [
    ...filters.map(({ name, filter: { chosen } }) => ({ kind: 'filter' as const, name, chosen })),
    ...scorers.map(({ name, scorer: { chosen } }) => ({ kind: 'scorer' as const, name, chosen })),
  ].filter((listener): listener is Listener => listener.chosen !== undefined);
}

function tell(
  listeners: readonly Listener[],
  context: SchedulingContext,
  choice: Endpoint,
): readonly PluginFailure[] {
  if (listeners.length === 0) return noFailures;
  const failures: PluginFailure[] = [];
  for (const { kind, name, chosen } of listeners) {
    try {
      chosen(context, choice);
    } catch (error) {
      failures.push({ kind, name, message: messageOf(error) });
    }
  }
  return failures;
}

const noFailures: readonly PluginFailure[] = Object.freeze([]);

function runFilters(
  {
    filters,
    passes,
  }: { readonly filters: ProfileOptions['filters']; readonly passes: readonly FilterStep[] },
  context: SchedulingContext,
  endpoints: readonly Endpoint[],
  steps: FilterStep[],
  failures: PluginFailure[],
): readonly Endpoint[] {
  // A copy also because `filter` and `map` are several times slower on frozen arrays, as snapshots are.
  let candidates: readonly Endpoint[] = [...endpoints];
  const lent = new LentList(candidates);
  for (let i = 0; i < filters.length && candidates.length > 0; i++) {
    const { name, filter } = filters[i]!;
    try {
      const startedMs = context.pluginTimes?.clock();
      const given = lent.of(candidates);
      const kept = filter(context, given);
      if (startedMs !== undefined) tellTime(context, 'filter', name, startedMs);
      const removed = namesOfRemoved(candidates, kept);
      steps.push(removed === noNames ? passes[i]! : { filter: name, removed });
      // A filter that passes all mostly returns what it was given, which is only lent.
      if (kept !== given) candidates = kept;
    } catch (error) {
      failures.push({ kind: 'filter', name, message: messageOf(error) });
    }
  }
  return candidates;
}

function tellTime(
  { pluginTimes }: SchedulingContext,
  kind: PluginKind,
  name: string,
  startedMs: number,
): void {
  pluginTimes?.told(kind, name, pluginTimes.clock() - startedMs);
}

/** One walk over both lists, since a filter keeps the order. Throws if `kept` is no part of `candidates`. */
function namesOfRemoved(candidates: readonly Endpoint[], kept: readonly Endpoint[]): readonly string[] {
  let removed: string[] | undefined;
  let next = 0;
  for (const endpoint of candidates) {
    if (kept[next] === endpoint) next++;
    else {
      removed ??= [];
      removed.push(endpoint.name);
    }
  }
  if (next !== kept.length) {
    throw new Error('it returned endpoints that it was not given, or in another order');
  }
  return removed ?? noNames;
}

const noNames: readonly string[] = Object.freeze([]);

/** Weighted sums of the scores: `totals [candidates]`. */
function runScorers(
  scorers: ProfileOptions['scorers'],
  context: SchedulingContext,
  candidates: readonly Endpoint[],
  failures: PluginFailure[],
): { readonly steps: ScoreStep[]; readonly totals: readonly number[] } {
  const steps: ScoreStep[] = [];
  const count = candidates.length;
  if (count === 0) return { steps, totals: [] };
  // Grown from empty: an array made with a length is copied when the first fraction is put into it.
  const totals: number[] = [];
  const lent = new LentList(candidates);
  for (const { name, weight, scorer } of scorers) {
    try {
      const startedMs = context.pluginTimes?.clock();
      const raw = scorer(context, lent.of(candidates));
      if (startedMs !== undefined) tellTime(context, 'scorer', name, startedMs);
      if (raw.length !== candidates.length) {
        throw new Error(`it returned ${raw.length} scores for ${candidates.length} endpoints`);
      }
      const scores: number[] = [];
      for (let i = 0; i < count; i++) {
        const score = clampScore(raw[i]);
        scores.push(score);
        const total = (totals[i] ?? 0) + weight * score;
        if (i < totals.length) totals[i] = total;
        else totals.push(total);
      }
      const { terms } = raw;
      steps.push(
        terms === undefined ? { scorer: name, weight, scores } : { scorer: name, weight, scores, terms },
      );
    } catch (error) {
      failures.push({ kind: 'scorer', name, message: messageOf(error) });
    }
  }
  while (totals.length < count) totals.push(0);
  return { steps, totals };
}

/**
 * The copy of a list that plugins are given: one for all of them, made anew after one that has changed it, so that
 * a plugin that sorts it in place confuses only itself.
 */
class LentList {
  #copy: Endpoint[];

  constructor(list: readonly Endpoint[]) {
    this.#copy = [...list];
  }

  of(list: readonly Endpoint[]): Endpoint[] {
    if (!isSame(this.#copy, list)) this.#copy = [...list];
    return this.#copy;
  }
}

function isSame(copy: readonly Endpoint[], list: readonly Endpoint[]): boolean {
  if (copy.length !== list.length) return false;
  for (let i = 0; i < list.length; i++) if (copy[i] !== list[i]) return false;
  return true;
}

function runPicker(
  { name, picker }: ProfileOptions['picker'],
  context: SchedulingContext,
  candidates: readonly Endpoint[],
  totals: readonly number[],
  failures: PluginFailure[],
): readonly Endpoint[] {
  if (candidates.length === 0) return [];
  const scored = candidates.map((endpoint, i): ScoredEndpoint => ({ endpoint, total: totals[i]! }));
  try {
    const startedMs = context.pluginTimes?.clock();
    const ranking = picker(context, scored).map((entry) => entry.endpoint);
    if (startedMs !== undefined) tellTime(context, 'picker', name, startedMs);
    if (ranking.length === 0) throw new Error('it chose nothing although there were candidates');
    if (!areDistinctCandidates(ranking, candidates)) {
      throw new Error('it chose an endpoint that is not a candidate, or one twice');
    }
    return ranking;
  } catch (error) {
    failures.push({ kind: 'picker', name, message: messageOf(error) });
    return fallbackPicker(context, scored).map((entry) => entry.endpoint);
  }
}

/** By slot, which is unique in a pool: one array instead of a set per decision. */
function areDistinctCandidates(ranking: readonly Endpoint[], candidates: readonly Endpoint[]): boolean {
  const bySlot: (Endpoint | undefined)[] = [];
  for (const endpoint of candidates) bySlot[endpoint.slot] = endpoint;
  for (const endpoint of ranking) {
    if (bySlot[endpoint.slot] !== endpoint) return false;
    bySlot[endpoint.slot] = undefined;
  }
  return true;
}

function countBest(totals: readonly number[]): number {
  let best = Number.NEGATIVE_INFINITY;
  let tied = 0;
  for (const total of totals) {
    if (total > best) {
      best = total;
      tied = 1;
    } else if (total === best) tied++;
  }
  return tied;
}

/** Views of endpoints stay the same until something changes, and so do their states: records share them. */
class CandidateStates {
  /** By slot. */
  readonly #endpoints: Endpoint[] = [];
  readonly #states: CandidateState[] = [];

  of(endpoint: Endpoint, cachedTokens: number): CandidateState {
    const { slot } = endpoint;
    const known = this.#states[slot];
    if (this.#endpoints[slot] === endpoint && known?.cachedTokens === cachedTokens) return known;
    const state = stateOf(endpoint, cachedTokens);
    this.#endpoints[slot] = endpoint;
    this.#states[slot] = state;
    return state;
  }
}

function stateOf(endpoint: Endpoint, cachedTokens: number): CandidateState {
  const { metrics, inFlight } = endpoint;
  return {
    name: endpoint.name,
    address: endpoint.address,
    metricsAgeMs: metrics.ageMs,
    queuedRequests: metrics.queuedRequests,
    runningRequests: metrics.runningRequests,
    kvCacheUsage: metrics.kvCacheUsage,
    inFlightRequests: inFlight.requests,
    cachedTokens,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
