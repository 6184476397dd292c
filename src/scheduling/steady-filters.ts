import type { Endpoint } from './endpoint.ts';
import type { FilterStep } from './scheduling-result.ts';

/** What steady filters leave of a list of endpoints. */
export interface FilteredList {
  readonly candidates: readonly Endpoint[];
  readonly steps: readonly FilterStep[];
}

interface Verdict {
  /** Places of those that are kept; undefined: all. */
  readonly kept: readonly number[] | undefined;
  readonly steps: readonly FilterStep[];
}

/** Clients may name models without end. */
const mostVerdicts = 256;

/**
 * Keeps the verdicts of filters that look only at what endpoints are, not at their load: by model, until an endpoint
 * comes, goes or becomes another.
 */
export class SteadyFilters {
  readonly #seen: Endpoint[] = [];
  readonly #verdicts = new Map<string | undefined, Verdict>();

  /** `filter` runs the filters themselves; it returns undefined when one of them fails. */
  of(
    model: string | undefined,
    endpoints: readonly Endpoint[],
    filter: (endpoints: readonly Endpoint[]) => FilteredList | undefined,
  ): FilteredList | undefined {
    if (this.#hasChanged(endpoints) || this.#verdicts.size >= mostVerdicts) this.#verdicts.clear();
    const known = this.#verdicts.get(model);
    if (known !== undefined) {
      const { kept, steps } = known;
      return { candidates: kept === undefined ? endpoints : kept.map((place) => endpoints[place]!), steps };
    }
    const filtered = filter(endpoints);
    if (filtered === undefined) return undefined;
    const { candidates, steps } = filtered;
    this.#verdicts.set(model, { kept: placesOf(candidates, endpoints), steps });
    return filtered;
  }

  #hasChanged(endpoints: readonly Endpoint[]): boolean {
    const seen = this.#seen;
    let hasChanged = seen.length !== endpoints.length;
    if (seen.length > endpoints.length) seen.length = endpoints.length;
    for (let place = 0; place < endpoints.length; place++) {
      const endpoint = endpoints[place]!;
      const before = seen[place];
      if (endpoint === before) continue;
      hasChanged ||= before === undefined || !isSameEndpoint(endpoint, before);
      if (place < seen.length) seen[place] = endpoint;
      else seen.push(endpoint);
    }
    return hasChanged;
  }
}

/** In all that a steady filter may look at. */
function isSameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.slot === b.slot &&
    a.name === b.name &&
    a.isReady === b.isReady &&
    a.labels === b.labels &&
    a.models === b.models &&
    a.adapters === b.adapters &&
    a.metrics.maxAdapters === b.metrics.maxAdapters &&
    areSameTexts(a.metrics.runningAdapters, b.metrics.runningAdapters) &&
    areSameTexts(a.metrics.waitingAdapters, b.metrics.waitingAdapters)
  );
}

function areSameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
}

/** Both are in the same order. Undefined: all places. */
function placesOf(candidates: readonly Endpoint[], endpoints: readonly Endpoint[]): number[] | undefined {
  if (candidates.length === endpoints.length) return undefined;
  const places: number[] = [];
  for (let place = 0; place < endpoints.length; place++) {
    if (candidates[places.length] === endpoints[place]) places.push(place);
  }
  return places;
}
