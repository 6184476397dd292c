import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import { buildConnector, type Dispatcher, errors, Pool } from 'undici';
import type { GatewayTimeouts } from './gateway-options.ts';

export interface UpstreamRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: Buffer;
}

/** Addresses whose connections are kept apart, at most; those not used for longest are closed first. */
const mostAddresses = 4096;

/**
 * Shorter than the 5 s after which uvicorn, under vLLM and SGLang, closes idle connections: a request sent into
 * a connection that is just being closed is lost.
 */
const keepAliveMs = 4000;

/** Owns the connections to engines: one pool per address, one request at a time per connection. */
export class Upstreams {
  readonly #timeouts: GatewayTimeouts;
  readonly #pools: LRUCache<string, Pool>;
  /** Socket errors of connections that had carried an earlier response. */
  readonly #staleErrors = new WeakSet<Error>();
  readonly #connect: buildConnector.connector;

  constructor(timeouts: GatewayTimeouts) {
    this.#timeouts = timeouts;
    this.#pools = new LRUCache({
      max: mostAddresses,
      dispose: (pool) => void pool.close(), // after the requests that it still carries
    });
    const connect = buildConnector({ timeout: timeouts.connectMs });
    this.#connect = (options, callback) =>
      connect(options, (...result) => {
        const [, socket] = result;
        if (socket) this.#watch(socket); // undefined on failure, whatever the types say
        callback(...result);
      });
  }

  /** Sends a request to `address` (`host:port`); what comes back is told to the handler. */
  dispatch(address: string, request: UpstreamRequest, handler: Dispatcher.DispatchHandler): void {
    let pool = this.#pools.get(address);
    if (pool === undefined) {
      pool = new Pool(`http://${address}`, {
        connect: this.#connect,
        pipelining: 1,
        keepAliveTimeout: keepAliveMs,
        headersTimeout: this.#timeouts.firstByteMs,
        bodyTimeout: this.#timeouts.idleMs,
      });
      this.#pools.set(address, pool);
    }
    pool.dispatch(request, handler);
  }

  /** The connection had idled and was closed by the engine while the request was on its way to it. */
  isStaleConnection(error: Error): boolean {
    if (error instanceof errors.SocketError) return (error.socket?.bytesRead ?? 0) > 0;
    return this.#staleErrors.has(error);
  }

  /** Cuts what is still open. */
  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }

  #watch(socket: Socket): void {
    socket.prependListener('error', (error: Error) => {
      if (socket.bytesRead > 0) this.#staleErrors.add(error);
    });
  }
}
