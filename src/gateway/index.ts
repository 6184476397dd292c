/**
 * The OpenAI-compatible HTTP door: requests from clients, forwarded to the endpoint that the picker chose, and
 * answers relayed as they come.
 *
 * Owns client connections, the set of requests in progress, and connections to engines. Imports the types of
 * `endpoint-picker` and `telemetry`, request parsing of `endpoint-picker`, `protocol`, and types of `scheduling`.
 * It knows no scorer, no pool and no metric.
 */
export type { GatewayLimits, GatewayOptions, GatewayTimeouts } from './gateway-options.ts';
export { serveGateway } from './server.ts';
