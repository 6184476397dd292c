import type { Endpoint } from '../endpoint.ts';
import { defineFilter } from '../plugins.ts';

const figures: Readonly<Record<string, (endpoint: Endpoint) => number>> = {
  'active-requests': ({ inFlight }) => inFlight.requests,
  'running-requests': ({ metrics }) => metrics.runningRequests,
  'waiting-queue': ({ metrics }) => metrics.queuedRequests,
  'kv-cache-utilization': ({ metrics }) => metrics.kvCacheUsage,
};

/** llm-d's `utilization-filter`. Figures as scraped, but for the active requests, which are our own. */
export default defineFilter({
  description: 'Keeps endpoints that are within every limit: figure<=number or figure<number.',
  defaults: { limits: [] as readonly string[], fallsBackToAll: false },
  create: ({ limits, fallsBackToAll }) => {
    if (limits.length === 0) throw new Error('limits is empty; list at least one, such as waiting-queue<=5');
    const conditions = limits.map(parseLimit);
    return (_context, endpoints) => {
      const kept = endpoints.filter((endpoint) => conditions.every((isWithin) => isWithin(endpoint)));
      return kept.length === 0 && fallsBackToAll ? endpoints : kept;
    };
  },
});

function parseLimit(text: string): (endpoint: Endpoint) => boolean {
  const [, name = '', operator, number = ''] = /^([^<]*)(<=?)([^<]*)$/.exec(text) ?? [];
  const figure = Object.hasOwn(figures, name.trim()) ? figures[name.trim()] : undefined;
  const most = number.trim() === '' ? Number.NaN : Number(number);
  if (figure === undefined || !(most >= 0))
    throw new Error(
      `limits has "${text}"; expected one of ${Object.keys(figures).join(', ')}, then <= or < and a number`,
    );
  return operator === '<=' ? (endpoint) => figure(endpoint) <= most : (endpoint) => figure(endpoint) < most;
}
