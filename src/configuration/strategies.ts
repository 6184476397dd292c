/**
 * Ready profiles. Each says in scorers what its name promises; filters and picker are the usual ones unless it
 * names others. Those with late binding hold a request while the engine that is best for it has no room.
 */

interface PluginUse {
  readonly name: string;
  readonly parameters: Readonly<Record<string, number>>;
}

interface Strategy {
  /** For people, in a few words. */
  readonly description: string;
  /** `flowControl.enabled`, unless it is given. */
  readonly hasLateBinding: boolean;
  readonly filters?: readonly PluginUse[];
  readonly scorers: readonly (PluginUse & { readonly weight: number })[];
  readonly picker?: PluginUse;
}

const scorer = (name: string, weight = 1, parameters: Readonly<Record<string, number>> = {}) => ({
  name,
  weight,
  parameters,
});
const plugin = (name: string): PluginUse => ({ name, parameters: {} });

export const usualFilters = [plugin('ready'), plugin('model'), plugin('lora-capacity')];
const llmD = [scorer('prefix-match', 3), scorer('queue-min-max', 2), scorer('kv-cache-usage', 2)];

export const strategies = {
  default: {
    description: 'the least predicted delay in milliseconds; waits for the engine that is best',
    hasLateBinding: true,
    scorers: [scorer('shadow-price')],
  },
  'shadow-price': {
    description: 'the same without waiting',
    hasLateBinding: false,
    scorers: [scorer('shadow-price')],
  },
  'cache-affinity': {
    description: 'stays where the prompt is cached unless the queues there are much longer',
    hasLateBinding: false,
    scorers: [scorer('prefix-cache', 5), scorer('queue-depth', 1), scorer('kv-cache-usage', 1)],
  },
  'load-balanced': {
    description: 'looks at load alone',
    hasLateBinding: false,
    scorers: [scorer('active-requests', 2), scorer('queue-depth', 2), scorer('kv-cache-usage', 1)],
  },
  'latency-optimized': {
    description: 'the first token of this request as soon as possible, whatever it costs others',
    hasLateBinding: true,
    scorers: [scorer('shadow-price', 1, { congestion: 0, eviction: 0 })],
  },
  'throughput-optimized': {
    description: 'work that is cached somewhere is not done twice, even if the request waits for it',
    hasLateBinding: true,
    scorers: [scorer('shadow-price', 1, { congestion: 3, eviction: 30 })],
  },
  'llm-d-3-2-2': {
    description: "llm-d's default in its code: prefix 3, queue 2, KV usage 2",
    hasLateBinding: false,
    scorers: llmD,
  },
  'llm-d-3-2-2-2': {
    description: "that of llm-d's nightly runs: the same and no-hit LRU 2",
    hasLateBinding: false,
    scorers: [...llmD, scorer('no-hit-lru', 2)],
  },
  'llm-d-sticky': {
    description: "that of llm-d's guides: sticky until saturated, then the fewest tokens in flight",
    hasLateBinding: false,
    filters: [...usualFilters, plugin('prefix-affinity')],
    scorers: [scorer('token-load')],
  },
  lmetric: {
    description: 'LMETRIC: uncached tokens pending x requests in flight',
    hasLateBinding: false,
    scorers: [scorer('lmetric')],
  },
  dynamo: {
    description: "the cost of Dynamo's router: tokens to prefill + tokens in flight",
    hasLateBinding: false,
    scorers: [scorer('dynamo-cost')],
  },
  'least-in-flight': {
    description: 'fewest requests of ours in flight',
    hasLateBinding: false,
    scorers: [scorer('requests-in-flight')],
  },
  'round-robin': {
    description: 'engines in turn',
    hasLateBinding: false,
    scorers: [],
    picker: plugin('round-robin'),
  },
  random: {
    description: 'any engine with equal chance',
    hasLateBinding: false,
    scorers: [],
    picker: plugin('random'),
  },
} as const satisfies Record<string, Strategy>;

export type StrategyName = keyof typeof strategies;

export const strategyNames = Object.keys(strategies) as [StrategyName, ...StrategyName[]];

/** The plugins that the name stands for, as a profile has them; none for a name that is unknown. */
export function strategyPlugins(name: unknown): Partial<Pick<Strategy, 'filters' | 'scorers' | 'picker'>> {
  if (!isStrategy(name)) return {};
  const { description: _, hasLateBinding: __, ...plugins }: Strategy = strategies[name];
  return plugins;
}

/**
 * Whether requests wait for the engine that is best for them unless `flowControl.enabled` says: with the strategies
 * made for it. Scorers or a picker of one's own may prefer an engine that is full, and then waiting is a loss.
 */
export function hasLateBinding(profile: unknown): boolean {
  const given = (typeof profile === 'object' && profile !== null ? profile : {}) as Record<string, unknown>;
  if (given['scorers'] !== undefined || given['picker'] !== undefined) return false;
  const name = given['strategy'] ?? 'default';
  return isStrategy(name) && strategies[name].hasLateBinding;
}

function isStrategy(name: unknown): name is StrategyName {
  return strategyNames.includes(name as StrategyName);
}
