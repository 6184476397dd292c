import { Pool as ConnectionPool } from 'undici';
import type { EngineMetrics, EngineMetricsScanner } from '../protocol/engine-metrics.ts';
import type { EndpointModels } from './endpoint-state.ts';

/** Where an engine tells its figures. */
export interface ScrapeTarget {
  /** Of `/v1/models`, too. */
  readonly scheme: 'http' | 'https';
  /** In place of `/metrics`. */
  readonly path: string;
  /** False takes any certificate. */
  readonly verifyTls: boolean;
}

export interface EngineClientOptions {
  readonly address: string;
  readonly target: ScrapeTarget;
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly scan: EngineMetricsScanner;
}

/** What one look at an engine has shown. */
export type EngineReport =
  | {
      readonly kind: 'alive';
      /** Undefined: it tells no figures that we know. */
      readonly metrics: EngineMetrics | undefined;
      /** Undefined: not asked for, or not told. */
      readonly models: EndpointModels | undefined;
      /** `/v1/models` was asked for and answered, be it with a refusal. */
      readonly hasAnsweredModels: boolean;
    }
  | {
      readonly kind: 'down';
      readonly failure: 'refused' | 'timeout' | 'other';
      /** For people. */
      readonly reason: string;
    };

type Answer = { readonly status: number; readonly body: Buffer } | { readonly error: unknown };

/** Asks one engine for its metrics and `/v1/models`. Owns its connections until `close`. */
export class EngineClient {
  readonly #connections: ConnectionPool;
  readonly #metricsPath: string;
  readonly #timeoutMs: number;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #scan: EngineMetricsScanner;

  constructor({ address, target, timeoutMs, maxBodyBytes, headers, scan }: EngineClientOptions) {
    this.#scan = scan;
    this.#metricsPath = target.path;
    this.#timeoutMs = timeoutMs;
    this.#headers = headers;
    this.#connections = new ConnectionPool(`${target.scheme}://${address}`, {
      connections: 2,
      connectTimeout: timeoutMs,
      connect: { rejectUnauthorized: target.verifyTls },
      keepAliveTimeout: 30_000,
      maxResponseSize: maxBodyBytes,
    });
  }

  /**
   * Never rejects. An engine without metrics that we can read is alive if `/v1/models` answers; with a
   * refusal for lack of a key too, since it is the requests that carry keys.
   */
  async report({
    withModels,
    signal,
  }: {
    readonly withModels: boolean;
    readonly signal: AbortSignal;
  }): Promise<EngineReport> {
    const path = this.#metricsPath;
    const [metricsAnswer, modelsAnswer] = await Promise.all([
      this.#get(path, signal),
      withModels ? this.#get('/v1/models', signal) : undefined,
    ]);
    if ('error' in metricsAnswer) return this.#down(path, metricsAnswer.error);
    if (metricsAnswer.status >= 500) return answered(path, metricsAnswer.status);
    const metrics = metricsAnswer.status === 200 ? this.#scan(metricsAnswer.body) : undefined;
    if (metrics !== undefined) return alive(metrics, modelsAnswer);

    const proof = modelsAnswer ?? (await this.#get('/v1/models', signal));
    if ('error' in proof) return this.#down('/v1/models', proof.error);
    if (proof.status >= 500 || proof.status === 404) return answered('/v1/models', proof.status);
    return alive(undefined, proof);
  }

  async close(): Promise<void> {
    await this.#connections.destroy();
  }

  /** Tries twice, since a failure may be an accident of the moment; both within the timeout. */
  async #get(path: string, signal: AbortSignal): Promise<Answer> {
    const answer = await this.#tryGet(path, signal, (2 / 3) * this.#timeoutMs);
    if (!('error' in answer) || signal.aborted) return answer;
    // An engine may close a connection that it thinks idle just as we use it, and after a pause of our own
    // process the timer runs out before the answer, which is there, has been read.
    const isAccident = isTimeout(answer.error) || cutConnection.has(codeOf(answer.error) ?? '');
    return isAccident ? this.#tryGet(path, signal, this.#timeoutMs / 3) : answer;
  }

  async #tryGet(path: string, signal: AbortSignal, timeoutMs: number): Promise<Answer> {
    // Not AbortSignal.any with AbortSignal.timeout: Node 20 may collect both before they fire.
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(timeout), timeoutMs);
    const stop = () => abort.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    try {
      signal.throwIfAborted();
      const { statusCode, body } = await this.#connections.request({
        method: 'GET',
        path,
        headers: this.#headers,
        signal: abort.signal,
      });
      return { status: statusCode, body: Buffer.from(await body.arrayBuffer()) };
    } catch (error) {
      return { error };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }

  #down(path: string, error: unknown): EngineReport {
    const code = codeOf(error);
    if (isTimeout(error)) {
      return {
        kind: 'down',
        failure: 'timeout',
        reason: `GET ${path} got no answer in ${this.#timeoutMs} ms`,
      };
    }
    const known = code === undefined ? undefined : refusals[code];
    const reason = known ?? `GET ${path} failed: ${error instanceof Error ? error.message : code}`;
    return { kind: 'down', failure: code === 'ECONNREFUSED' ? 'refused' : 'other', reason };
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { readonly code?: string } | null)?.code;
}

function isTimeout(error: unknown): boolean {
  return error === timeout || codeOf(error) === 'UND_ERR_CONNECT_TIMEOUT';
}

/** The reason with which a request is aborted that takes too long. */
const timeout = Symbol('timeout');

const cutConnection: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

const refusals: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name not found, the name server does not answer',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ECONNRESET: 'connection reset',
};

function alive(metrics: EngineMetrics | undefined, models: Answer | undefined): EngineReport {
  const hasAnsweredModels = models !== undefined && 'status' in models && models.status < 500;
  return { kind: 'alive', metrics, models: modelsOf(models), hasAnsweredModels };
}

function answered(path: string, status: number): EngineReport {
  return { kind: 'down', failure: 'other', reason: `GET ${path} was answered with status ${status}` };
}

/** `{"data":[{"id":"base"},{"id":"adapter","parent":"base"}]}`; undefined if it is not that. */
function modelsOf(answer: Answer | undefined): EndpointModels | undefined {
  if (answer === undefined || 'error' in answer || answer.status !== 200) return undefined;
  let data: unknown;
  try {
    data = (JSON.parse(answer.body.toString()) as { data?: unknown } | null)?.data;
  } catch {
    // Not JSON: the engine has not told its models, and may serve any.
    return undefined;
  }
  if (!Array.isArray(data)) return undefined;
  const cards = data.filter(isModelCard);
  return {
    models: cards.map(({ id }) => id),
    adapters: cards.filter(({ parent }) => typeof parent === 'string').map(({ id }) => id),
  };
}

function isModelCard(card: unknown): card is { readonly id: string; readonly parent?: unknown } {
  return typeof card === 'object' && card !== null && 'id' in card && typeof card.id === 'string';
}
