/**
 * What happens to cached KV blocks, told to whoever listens.
 *
 *   BlockManager ──KvEvent──▶ (the engine's thread) ──▶ EventEncoder ──▶ ReplayBuffer ──▶ ZeroMQ
 *
 * State owned: two sockets, the latest batches.
 * Imports allowed: telemetry. ZeroMQ is loaded when a publisher is opened, not before.
 */
export type { KvEvent } from './kv-event.ts';
export type { KvEventPublisher } from './kv-event-publisher.ts';
export { openKvEventPublisher } from './kv-event-publisher.ts';
export type { KvEventsConfig } from './kv-events-config.ts';
export { readKvEventsConfig } from './kv-events-config.ts';
