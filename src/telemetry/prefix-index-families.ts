import { prefixIndexLabels } from './request-metrics.ts';
import { type Family, gauge, readCounter } from './series.ts';

export interface PrefixIndexFigures {
  /** Blocks believed cached, summed over endpoints. */
  readonly size: number;
  readonly lookups: number;
  /** Leading blocks of prompts that one endpoint was believed to hold, summed over lookups. */
  readonly matchedBlocks: number;
  readonly admissions: number;
  readonly evictions: number;
}

/** What llm-d tells of an index of KV blocks, whether engines' events or the prompts that were sent fill it. */
export function prefixIndexFamilies(read: () => PrefixIndexFigures): Family[] {
  const counter = (name: string, help: string, figure: keyof PrefixIndexFigures) =>
    readCounter({ name: `llm_d_epp_kv_cache_index_${name}`, help, read: () => [[[], read()[figure]]] });
  const matched = 'Leading blocks of prompts that the endpoint with the most of them is believed to hold.';
  return [
    gauge({
      name: 'llm_d_epp_prefix_indexer_size',
      help: 'Blocks believed cached, summed over endpoints.',
      labelNames: ['plugin_type', 'plugin_name'],
      read: () => [[prefixIndexLabels, read().size]],
    }),
    counter('admissions_total', 'Blocks that came to be believed cached on an endpoint.', 'admissions'),
    counter('evictions_total', 'Blocks that ceased to be believed cached on an endpoint.', 'evictions'),
    counter('lookup_requests_total', 'Prompts that were looked up.', 'lookups'),
    counter('lookup_hits_total', matched, 'matchedBlocks'),
    counter('max_pod_hit_count_total', matched, 'matchedBlocks'),
  ];
}
