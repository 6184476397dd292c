/**
 * What people and machines read about a running process: log lines and Prometheus metrics.
 * Owns the metric names and their label sets. Imports types of the decision record and of servers, nothing
 * else of ours.
 */
export {
  createLog,
  type Log,
  type LogFormat,
  type LogLevel,
  logFormats,
  logLevels,
  silentLog,
} from './log.ts';
export { createMetrics, type Metrics, type MetricsText } from './metrics.ts';
export { serveMetrics } from './metrics-server.ts';
export { observers, requestLog } from './request-log.ts';
