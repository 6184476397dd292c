import { Counter, Histogram, type Registry, Summary } from 'prom-client';

/** Paths of probes and scrapers, which vLLM leaves out. */
const uncounted = new Set(['/metrics', '/health', '/load', '/ping', '/version', '/server_info']);
const fineBuckets = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60,
];

export interface HttpExchange {
  readonly method: string;
  readonly statusCode: number;
  /** The route, not the path: paths are without number. */
  readonly handler: string;
  readonly seconds: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** What vLLM's web layer counts (prometheus-fastapi-instrumentator); statuses are classes. */
export function httpMetrics(registry: Registry) {
  const registers = [registry];
  const requests = new Counter({
    name: 'http_requests_total',
    help: 'HTTP requests by method, status class and route.',
    labelNames: ['method', 'status', 'handler'],
    registers,
  });
  const sizes = (name: string, help: string) =>
    new Summary({ name, help, labelNames: ['handler'], percentiles: [], registers });
  const requestBytes = sizes('http_request_size_bytes', 'Bytes of request bodies by route.');
  const responseBytes = sizes('http_response_size_bytes', 'Bytes of response bodies by route.');
  const fineDurations = new Histogram({
    name: 'http_request_duration_highr_seconds',
    help: 'Time of HTTP requests in seconds, in many buckets.',
    buckets: fineBuckets,
    registers,
  });
  const durations = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time of HTTP requests in seconds.',
    labelNames: ['method', 'handler'],
    buckets: [0.1, 0.5, 1],
    registers,
  });
  return {
    observe: ({ method, statusCode, handler, seconds, ...bytes }: HttpExchange) => {
      if (uncounted.has(handler)) return;
      requests.inc({ method, status: `${Math.floor(statusCode / 100)}xx`, handler });
      requestBytes.observe({ handler }, bytes.requestBytes);
      responseBytes.observe({ handler }, bytes.responseBytes);
      fineDurations.observe(seconds);
      durations.observe({ method, handler }, seconds);
    },
  };
}
