import { clampScore } from './clamp-score.ts';
import type { EndpointList } from './endpoint-list.ts';
import { type LedDecision, LedResult } from './led-result.ts';
import type { Lead, LeadFinder } from './plugins.ts';
import type { ProfileOptions } from './profile.ts';
import type { PluginKind, SchedulingContext } from './scheduling-context.ts';
import { type SeededRandom, seededRandom } from './seeded-random.ts';
import { SteadyFilters } from './steady-filters.ts';

/** Decides by lead; undefined where that is not possible this time. */
export type Leading = (
  context: SchedulingContext,
  endpoints: EndpointList,
  filter: Parameters<SteadyFilters['of']>[2],
) => LedResult | undefined;

/**
 * The short way to a decision, for profiles with steady filters, one scorer that finds its lead, and a picker that
 * takes the highest total. It chooses what the long way would; undefined for other profiles.
 */
export function leadingOf(options: ProfileOptions, stateOf: LedDecision['stateOf']): Leading | undefined {
  const { name, filters, scorers, picker } = options;
  const [only, second] = scorers;
  const { first, drawsOf } = picker.picker;
  if (only === undefined || second !== undefined || !(only.weight > 0)) return undefined;
  if (first === undefined || drawsOf === undefined) return undefined;
  if (filters.some(({ filter }) => filter.isSteady !== true)) return undefined;
  const { lead: findLead } = only.scorer;
  if (findLead === undefined) return undefined;
  const steadyFilters = new SteadyFilters();

  return (context, endpoints, filter) => {
    if (!isSeeded(context.random)) return undefined;
    const times = new PluginStopwatch(context);
    const filtered = steadyFilters.of(context.request.model, endpoints, filter);
    if (filtered === undefined || filtered.candidates.length === 0) return undefined;
    times.lap('filter', filters);
    const { candidates, steps } = filtered;
    const lead = findSafely(findLead, context, candidates);
    if (lead === undefined) return undefined;
    times.lap('scorer', [only]);
    const best = highest(lead, only.weight);
    const seed = context.random.state();
    const choice = candidates.at(
      best.length === 1 ? best[0]! : first(seededRandom(seed), candidates.length, best),
    );
    context.random.skip(drawsOf(candidates.length));
    times.lap('picker', [picker]);
    return new LedResult({
      profile: name,
      picker: picker.name,
      scorer: only.name,
      weight: only.weight,
      considered: endpoints.length,
      filters: steps,
      candidates,
      choice,
      tied: best.length,
      scoreAll: lead.all,
      context,
      seed,
      stateOf,
      rank: picker.picker,
    });
  };
}

function isSeeded(random: SchedulingContext['random']): random is SeededRandom {
  return 'state' in random;
}

/** The long way says what is wrong with a scorer that throws. */
function findSafely(
  find: NonNullable<LeadFinder['lead']>,
  context: SchedulingContext,
  candidates: EndpointList,
): Lead | undefined {
  try {
    return find(context, candidates);
  } catch {
    return undefined;
  }
}

/** Places with the highest total. */
function highest({ places, scores }: Lead, weight: number): readonly number[] {
  let best: number[] = [];
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < places.length; i++) {
    const total = weight * clampScore(scores[i]);
    if (total < most) continue;
    if (total > most) best = [];
    most = total;
    best.push(places[i]!);
  }
  return best;
}

/** Tells how long each kind of plugin took, where that is asked for. */
class PluginStopwatch {
  readonly #times: SchedulingContext['pluginTimes'];
  #startedMs: number;

  constructor({ pluginTimes }: SchedulingContext) {
    this.#times = pluginTimes;
    this.#startedMs = pluginTimes?.clock() ?? 0;
  }

  /** These plugins took the time since the last lap together. */
  lap(kind: PluginKind, plugins: readonly { readonly name: string }[]): void {
    if (this.#times === undefined) return;
    const nowMs = this.#times.clock();
    for (const { name } of plugins) this.#times.told(kind, name, (nowMs - this.#startedMs) / plugins.length);
    this.#startedMs = nowMs;
  }
}
