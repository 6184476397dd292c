import type { Endpoint } from './endpoint.ts';
import { EndpointList } from './endpoint-list.ts';
import type { FilterStep } from './scheduling-result.ts';

/** What steady filters leave of a list of endpoints. */
export interface FilteredList {
  readonly candidates: EndpointList;
  readonly steps: readonly FilterStep[];
}

/** Clients may name models without end. */
const mostVerdicts = 256;

/**
 * Keeps the verdicts of filters that look only at what endpoints are, not at their load: by model, until an endpoint
 * comes, goes or becomes another.
 */
export class SteadyFilters {
  #seen: readonly (readonly Endpoint[])[] = [];
  readonly #verdicts = new Map<string | undefined, Verdict>();

  /** `filter` runs the filters themselves; it returns undefined when one of them fails. */
  of(
    model: string | undefined,
    list: EndpointList,
    filter: (
      endpoints: readonly Endpoint[],
    ) => { readonly kept: readonly Endpoint[]; readonly steps: readonly FilterStep[] } | undefined,
  ): FilteredList | undefined {
    if (this.#hasChanged(list) || this.#verdicts.size >= mostVerdicts) this.#verdicts.clear();
    let verdict = this.#verdicts.get(model);
    if (verdict === undefined) {
      const filtered = filter(list.flat);
      if (filtered === undefined) return undefined;
      verdict = new Verdict(filtered.kept, list, filtered.steps);
      this.#verdicts.set(model, verdict);
    }
    return { candidates: verdict.candidatesOf(list), steps: verdict.steps };
  }

  #hasChanged({ blocks }: EndpointList): boolean {
    const seen = this.#seen;
    if (blocks === seen) return false;
    this.#seen = blocks;
    if (blocks.length !== seen.length) return true;
    return blocks.some((block, b) => block !== seen[b] && !isSameBlock(block, seen[b]!));
  }
}

/** Which endpoints of each block are kept. */
class Verdict {
  readonly steps: readonly FilterStep[];
  /** Offsets in each block; undefined: all endpoints are kept. */
  readonly #kept: readonly (readonly number[])[] | undefined;
  /** The last list and what was left of it, whose blocks serve again where they are the same. */
  #list: EndpointList;
  #candidates: EndpointList;

  /** `kept` is in the order of the list. */
  constructor(kept: readonly Endpoint[], list: EndpointList, steps: readonly FilterStep[]) {
    this.steps = steps;
    this.#list = list;
    this.#candidates = list;
    if (kept.length === list.length) return;
    let next = 0;
    this.#kept = list.blocks.map((block) => {
      const offsets: number[] = [];
      for (const [offset, endpoint] of block.entries()) {
        if (kept[next] !== endpoint) continue;
        offsets.push(offset);
        next++;
      }
      return offsets;
    });
    this.#candidates = new EndpointList(list.blocks.map((block, b) => this.#pick(block, b)));
  }

  candidatesOf(list: EndpointList): EndpointList {
    if (this.#kept === undefined) return list;
    if (list === this.#list) return this.#candidates;
    const before = this.#candidates;
    const blocks = list.blocks.map((block, b) =>
      block === this.#list.blocks[b] ? before.blocks[b]! : this.#pick(block, b),
    );
    this.#list = list;
    this.#candidates = new EndpointList(blocks, before);
    return this.#candidates;
  }

  #pick(block: readonly Endpoint[], b: number): readonly Endpoint[] {
    return this.#kept![b]!.map((offset) => block[offset]!);
  }
}

function isSameBlock(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return (
    a.length === b.length && a.every((endpoint, i) => endpoint === b[i] || isSameEndpoint(endpoint, b[i]!))
  );
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
