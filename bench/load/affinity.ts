import { type LoadSample, loadAt } from './load-samples.ts';
import type { StreamResult } from './stream-client.ts';

/**
 * How much of each tenant's traffic its favourite endpoint served, and how many of the others left one that was
 * busier at that time than where they went: a tenant that leaves a queue is well served. Nothing if the server
 * does not tell its endpoints.
 */
export function affinityLines(results: readonly StreamResult[], samples: readonly LoadSample[]): string {
  const byTenant = new Map<number, StreamResult[]>();
  for (const result of results) {
    if (result.endpoint === undefined) return '';
    const own = byTenant.get(result.tenant);
    if (own === undefined) byTenant.set(result.tenant, [result]);
    else own.push(result);
  }
  return [...byTenant]
    .sort(([a], [b]) => a - b)
    .map(([tenant, own]) => {
      const favourite = mostFrequent(own.map(({ endpoint }) => endpoint!));
      const left = own.filter(({ endpoint }) => endpoint !== favourite);
      const share = (100 * (own.length - left.length)) / own.length;
      const busier = left.filter((each) => wasBusier(favourite, each, samples)).length;
      const why =
        left.length === 0 || samples.length === 0
          ? ''
          : `; of ${left.length} that left it, ${busier} went where less was in flight`;
      return `tenant ${tenant}: ${share.toFixed(1)} % of ${own.length} on ${favourite}${why}\n`;
    })
    .join('');
}

/** Mean and peak of each endpoint's queue and requests in flight. */
export function loadLines(samples: readonly LoadSample[]): string {
  const names = [...new Set(samples.flatMap(({ endpoints }) => [...endpoints.keys()]))].sort();
  const line = (name: string) => {
    const loads = samples.flatMap(({ endpoints }) => endpoints.get(name) ?? []);
    const told = (what: 'queued' | 'inFlight') => {
      const values = loads.map((load) => load[what]);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return `${mean.toFixed(1)} (at most ${Math.max(...values)})`;
    };
    return `${name}: in flight ${told('inFlight')}, in its queue ${told('queued')}\n`;
  };
  return names.map(line).join('');
}

function wasBusier(
  favourite: string,
  { endpoint, intendedMs }: StreamResult,
  samples: readonly LoadSample[],
) {
  const loads = loadAt(samples, intendedMs);
  const there = loads?.get(favourite)?.inFlight ?? 0;
  return there > (loads?.get(endpoint!)?.inFlight ?? 0);
}

function mostFrequent(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]![0];
}
