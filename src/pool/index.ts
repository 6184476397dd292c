/**
 * All that is known of the endpoints: discovery, scraped metrics, our own requests in flight, health.
 *
 * Owns the state of every endpoint (`InferencePool`); discovery and the scraper write to it, the endpoint
 * picker reads frozen views and reserves load. Imports `scheduling` (types, and the list of endpoints), `prefix-index`,
 * `protocol`.
 */
export { checkEndpoints, EndpointSource, parseEndpointList } from './endpoint-list.ts';
export type { EndpointModels, EndpointSpec, ScrapedMetrics } from './endpoint-state.ts';
export { unknownMetrics } from './endpoint-state.ts';
export type { FileDiscovery, FileDiscoveryOptions } from './file-discovery.ts';
export { startFileDiscovery } from './file-discovery.ts';
export type { RequestLoad } from './in-flight-load.ts';
export type { InferencePoolOptions } from './inference-pool.ts';
export { InferencePool } from './inference-pool.ts';
export type { EndpointRef, PoolListener } from './pool-listeners.ts';
export type { Reservation } from './reservation.ts';
export type { Scraper, ScraperOptions } from './scraper.ts';
export { startScraper } from './scraper.ts';
export { applyStaticEndpoints } from './static-discovery.ts';
