import type { Endpoint } from '../scheduling/endpoint.ts';
import type { MetricSeries } from './metric-definitions.ts';

/** Counts what happens to endpoints; a listener of the pool. */
export interface PoolCounters {
  readonly removed: () => void;
  readonly ejected: (endpoint: { readonly name: string }, ejection: { readonly cause: string }) => void;
  readonly restored: (endpoint: { readonly name: string }) => void;
  readonly scraped: (endpoint: { readonly name: string }, result: string) => void;
  /** Series of endpoints that have left the pool end, or a busy cluster would grow them without bound. */
  forgetAbsent(): void;
}

/** llm-d's names of what reads `/metrics` and of what finds the figures in it. */
const source = 'metrics-data-source';
const extractor = 'core-metrics-extractor';

export function poolCounters(series: MetricSeries, snapshot: () => readonly Endpoint[]): PoolCounters {
  const { attempts, decisions, served, predicted, observed, ejections, restorations, scrapes } = series;
  const ofEndpoints = [decisions, served, predicted, observed, ejections, restorations, scrapes];

  function forgetAbsent(): void {
    const present = new Set(snapshot().map(({ name }) => name));
    for (const family of ofEndpoints) family.retain('endpoint', (name) => present.has(name));
    attempts.retain('endpoint_name', (name) => name === '' || present.has(name));
  }

  return {
    // Not only when metrics are asked for: nobody may ask.
    removed: forgetAbsent,
    ejected: ({ name }, { cause }) => void ejections.of(name, cause).value++,
    restored: ({ name }) => void restorations.of(name).value++,
    scraped: ({ name }, result) => {
      scrapes.of(name, result).value++;
      if (result === 'no_figures') series.extractErrors.of(source, extractor).value++;
      else if (result !== 'figures') series.pollErrors.of(source).value++;
    },
    forgetAbsent,
  };
}
