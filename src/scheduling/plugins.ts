import type { Endpoint } from './endpoint.ts';
import type { EndpointList } from './endpoint-list.ts';
import type { SchedulingContext } from './scheduling-context.ts';

/** Parameters are flat and plain, so that YAML, defaults and messages speak of the same thing. */
export type ParameterValue = number | string | boolean | readonly string[];
export type Parameters = Readonly<Record<string, ParameterValue>>;

/** A filter or scorer that remembers where requests went is told of each choice, in the decision itself. */
export interface ChoiceListener {
  readonly chosen?: (context: SchedulingContext, endpoint: Endpoint) => void;
}

/** Keeps some of the endpoints, in order. An empty result ends the decision with `no_endpoints`. */
export type Filter = ((context: SchedulingContext, endpoints: readonly Endpoint[]) => readonly Endpoint[]) &
  ChoiceListener &
  Steadiness;

/** What a filter may say of itself so that its verdict can be kept. */
export interface Steadiness {
  /**
   * It looks at nothing but the request's model and the endpoints' names, labels, readiness, models and adapters, so
   * its verdict holds until one of these is another.
   */
  readonly isSteady?: true;
}

/** A filter that may declare itself steady. */
export function steady(filter: Filter): Filter {
  return Object.assign(filter, { isSteady: true as const });
}

/** What a score is made of, for people: one value per endpoint, in the same order. */
export interface ScoreTerm {
  readonly name: string;
  readonly unit: 'ms' | 'tokens' | 'requests';
  readonly values: readonly number[];
}

/** One number in [0, 1] per endpoint, in the same order; 1 is best. `withTerms` adds what they are made of. */
export type Scores = ArrayLike<number> & { readonly terms?: readonly ScoreTerm[] };

export type Scorer = ((context: SchedulingContext, endpoints: readonly Endpoint[]) => Scores) &
  ChoiceListener &
  LeadFinder;

/**
 * The endpoints that score highest, without the others' scores. These are made when somebody reads the record, which
 * for most decisions nobody does.
 */
export interface Lead {
  /** Places in the list, ascending: of the highest score and of those within a billionth of it. */
  readonly places: readonly number[];
  /** Their scores, in the same order. */
  readonly scores: readonly number[];
  /** What the scorer would have returned then. */
  readonly all: () => Scores;
}

/** A scorer may offer a shorter way to the best endpoint. */
export interface LeadFinder {
  /** As the scorer itself, in what it remembers too. Undefined: the scores must be made. */
  readonly lead?: (context: SchedulingContext, endpoints: EndpointList) => Lead | undefined;
}

/** Scores that tell what they are made of; the decision record shows it. */
export function withTerms(scores: readonly number[], terms: readonly ScoreTerm[]): Scores {
  return Object.assign([...scores], { terms });
}

export interface ScoredEndpoint {
  readonly endpoint: Endpoint;
  /** Sum of weight x score over the profile's scorers. */
  readonly total: number;
}

/** Orders the candidates: the first is the choice, the rest are fallbacks. */
export type Picker = ((
  context: SchedulingContext,
  scored: readonly ScoredEndpoint[],
) => readonly ScoredEndpoint[]) &
  FirstPicker;

/** A picker whose choice has the highest total may make it without the others' totals. */
export interface FirstPicker {
  /** The place of the choice among `count` candidates, of which those at `best`, two or more, share the highest total. */
  readonly first?: (random: () => number, count: number, best: readonly number[]) => number;
  /** Random numbers that a choice among so many takes; all from the context. */
  readonly drawsOf?: (count: number) => number;
}

/** What a filter, scorer or picker file exports: its parameters with defaults, and how to make one. */
export interface PluginDefinition<Kind extends string, P extends Parameters, Instance> {
  readonly kind: Kind;
  /** One sentence for `pointsman check` and the docs. */
  readonly description: string;
  readonly defaults: P;
  /** Called once per use in a profile. Throws an Error that says which parameter is wrong and why. */
  readonly create: (parameters: P) => Instance;
}

export type ScorerDefinition<P extends Parameters = Parameters> = PluginDefinition<'scorer', P, Scorer>;
export type FilterDefinition<P extends Parameters = Parameters> = PluginDefinition<'filter', P, Filter>;
export type PickerDefinition<P extends Parameters = Parameters> = PluginDefinition<'picker', P, Picker>;

type Definition<P extends Parameters, Instance> = {
  readonly description?: string;
  readonly defaults?: P;
  readonly create: (parameters: P) => Instance;
};

/** Defines a scorer; its file name is its name in the configuration. */
export function defineScorer<P extends Parameters = Record<never, never>>(definition: Definition<P, Scorer>) {
  return define('scorer', definition);
}

/** Defines a filter; its file name is its name in the configuration. */
export function defineFilter<P extends Parameters = Record<never, never>>(definition: Definition<P, Filter>) {
  return define('filter', definition);
}

/** Defines a picker; its file name is its name in the configuration. */
export function definePicker<P extends Parameters = Record<never, never>>(definition: Definition<P, Picker>) {
  return define('picker', definition);
}

function define<Kind extends string, P extends Parameters, Instance>(
  kind: Kind,
  { description = '', defaults = {} as P, create }: Definition<P, Instance>,
): PluginDefinition<Kind, P, Instance> {
  return Object.freeze({ kind, description, defaults: Object.freeze({ ...defaults }), create });
}
