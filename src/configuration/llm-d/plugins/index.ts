import type { PluginType } from '../plugin-type.ts';
import { dataPlugins } from './data.ts';
import { filters } from './filters.ts';
import { handlers } from './handlers.ts';
import { pickers } from './pickers.ts';
import { requestPlugins } from './requests.ts';
import { scorers } from './scorers.ts';

/** Every plugin type of llm-d's picker, and what becomes of it. */
export const pluginTypes: ReadonlyMap<string, PluginType> = new Map(
  Object.entries({
    ...filters,
    ...scorers,
    ...pickers,
    ...handlers,
    ...dataPlugins,
    ...requestPlugins,
    ...Object.fromEntries(
      [
        'multicluster-queue-scorer',
        'multicluster-kv-cache-utilization-scorer',
        'multicluster-prefix-cache-scorer',
      ].map((type) => [type, hubScorer()]),
    ),
  }),
);

function hubScorer(): PluginType {
  return {
    ...scorers['latency-scorer']!,
    map: () => ({ kind: 'refused', note: 'there is no hub over clusters' }),
  };
}
