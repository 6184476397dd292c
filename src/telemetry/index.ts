/**
 * What people and machines read about a running process: log lines and Prometheus metrics.
 * Owns the metric names and their label sets. Imports types of the decision record and of servers, nothing
 * else of ours.
 */
export type { DecisionLines } from './decision-lines.ts';
export { type DecisionLog, openDecisionLog } from './decision-log.ts';
export { LineFeed } from './line-feed.ts';
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
export { createStreamTally, type StreamMetrics, type StreamTally } from './stream-metrics.ts';
