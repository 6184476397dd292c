import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RunningServer } from '../protocol/running-server.ts';
import { answerDecisions, type DecisionLines } from './decision-lines.ts';
import type { MetricsText } from './metrics.ts';

export interface MetricsServerOptions {
  readonly host: string;
  readonly port: number;
  readonly metricsText: () => Promise<MetricsText>;
  readonly isReady: () => boolean;
  /** At `/decisions`. */
  readonly decisions?: DecisionLines;
}

/** Of paths without a host, which all but those for proxies are. */
const base = 'http://metrics';

/**
 * `/metrics` for Prometheus; `/health` (the process works) and `/ready` (an endpoint is ready) for probes;
 * `/decisions` for people and `pointsman replay`.
 */
export async function serveMetrics(options: MetricsServerOptions): Promise<RunningServer> {
  const { host, port, metricsText, isReady, decisions } = options;
  const server = createServer(async (request, response) => {
    const answer = (status: number, type: string, body: string) =>
      response.writeHead(status, { 'content-type': type }).end(body);
    try {
      const target = request.url ?? '/';
      if (!URL.canParse(target, base)) return void answer(400, 'text/plain', 'This path is not a URL.\n');
      const { pathname, searchParams } = new URL(target, base);
      if (pathname === '/metrics') {
        const { contentType, body } = await metricsText();
        answer(200, contentType, body);
      } else if (pathname === '/health') answer(200, 'application/json', '{"status":"ok"}');
      else if (pathname === '/ready' && isReady()) answer(200, 'application/json', '{"status":"ready"}');
      else if (pathname === '/ready') answer(503, 'application/json', '{"status":"not_ready"}');
      else if (pathname === '/decisions' && decisions !== undefined)
        answerDecisions(response, searchParams, decisions);
      else answer(404, 'text/plain', 'Here are /metrics, /health, /ready and /decisions.\n');
    } catch (error) {
      answer(500, 'text/plain', `${error instanceof Error ? error.message : String(error)}\n`);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  return {
    address: `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    port: bound.port,
    close: () => {
      closing ??= new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}
