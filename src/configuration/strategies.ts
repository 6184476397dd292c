/**
 * Ready profiles. Each says in scorers what its name promises; the filters and the picker are the usual ones.
 * `llm-d-3-2-2` and `llm-d-3-2-2-2` are the defaults of llm-d, in its code and of its earlier charts.
 */

interface Strategy {
  readonly scorers: readonly {
    readonly name: string;
    readonly weight: number;
    readonly parameters: Readonly<Record<string, number>>;
  }[];
}

const scorer = (name: string, weight = 1, parameters: Readonly<Record<string, number>> = {}) => ({
  name,
  weight,
  parameters,
});

const llmD = [scorer('prefix-match', 3), scorer('queue-min-max', 2), scorer('kv-cache-usage', 2)];

export const strategies = {
  /** The least predicted delay, in milliseconds; with `flowControl` the best in all that was measured. */
  'shadow-price': { scorers: [scorer('shadow-price')] },
  /** Stays where the prompt is cached unless the queues there are much longer. */
  'cache-affinity': {
    scorers: [scorer('prefix-cache', 5), scorer('queue-depth', 1), scorer('kv-cache-usage', 1)],
  },
  /** Looks at load alone. */
  'load-balanced': {
    scorers: [scorer('active-requests', 2), scorer('queue-depth', 2), scorer('kv-cache-usage', 1)],
  },
  /** The first token of this request as soon as possible, whatever it costs others. */
  'latency-optimized': { scorers: [scorer('shadow-price', 1, { congestion: 0, eviction: 0 })] },
  /** Work that is cached somewhere is not done twice, even if the request waits for it. */
  'throughput-optimized': { scorers: [scorer('shadow-price', 1, { congestion: 3, eviction: 30 })] },
  'llm-d-3-2-2': { scorers: llmD },
  'llm-d-3-2-2-2': { scorers: [...llmD, scorer('no-hit-lru', 2)] },
} as const satisfies Record<string, Strategy>;

export type StrategyName = keyof typeof strategies;

export const strategyNames = Object.keys(strategies) as [StrategyName, ...StrategyName[]];
