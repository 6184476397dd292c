import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { Http2Connection } from './connection.ts';
import type { ConnectionError } from './http2-error.ts';
import type { Http2Stream, StreamHandler } from './http2-stream.ts';
import type { Http2Limits } from './limits.ts';
import type { RequestHead } from './request-head.ts';

export interface Http2ServerOptions {
  /** Undefined for cleartext with prior knowledge. */
  readonly tls: SecureContextOptions | undefined;
  readonly limits: Http2Limits;
  readonly clock: () => number;
  readonly onRequest: (stream: Http2Stream, head: RequestHead) => StreamHandler | undefined;
  /** A peer broke the protocol or passed a limit; for the log. */
  readonly onViolation: (error: ConnectionError, peer: string | undefined) => void;
}

/** Serves connections, its own and those that it is given, and owns them. */
export class Http2Server {
  readonly server: Server;
  readonly #connections = new Set<Http2Connection>();
  /** Also those that have not finished, or begun, their TLS handshake. */
  readonly #sockets = new Set<Socket>();
  readonly #ticker: NodeJS.Timeout;
  #isDraining = false;
  #onLastSocket = (): void => {};

  constructor(options: Http2ServerOptions) {
    const { tls, clock } = options;
    const accept = (socket: Socket): void => this.#accept(socket, options);
    if (tls === undefined) this.server = createTcpServer({ noDelay: true }, accept);
    else {
      const secure = createTlsServer({
        ...tls,
        ALPNProtocols: ['h2'],
        minVersion: 'TLSv1.2',
        handshakeTimeout: options.limits.prefaceTimeoutMs,
      });
      secure.on('secureConnection', (socket: TLSSocket) => {
        socket.setNoDelay(true);
        accept(socket);
      });
      // Node tells of a handshake that takes too long, and leaves it open.
      secure.on('tlsClientError', (_error, socket) => socket.destroy());
      this.server = secure;
    }
    this.server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        if (this.#sockets.size === 0) this.#onLastSocket();
      });
    });
    this.#ticker = setInterval(() => {
      const nowMs = clock();
      for (const connection of this.#connections) connection.tick(nowMs);
    }, 1000);
    this.#ticker.unref();
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get streamCount(): number {
    let count = 0;
    for (const connection of this.#connections) count += connection.streamCount;
    return count;
  }

  /** Takes a connection that another server has accepted; nothing of it may have been read. */
  accept(socket: Socket): void {
    socket.setNoDelay(true);
    this.server.emit('connection', socket);
  }

  /**
   * Takes no new connections, asks those that are open to go, serves them until the deadline, then cuts them;
   * `beforeCut` is called first.
   */
  async close(deadlineMs: number, beforeCut: () => void = () => {}): Promise<void> {
    this.#isDraining = true;
    const closed = this.#closed();
    for (const connection of this.#connections) connection.drain();
    const cut = setTimeout(() => {
      beforeCut();
      for (const connection of this.#connections) connection.destroy();
      for (const socket of this.#sockets) socket.destroy();
    }, deadlineMs);
    await closed;
    clearTimeout(cut);
    clearInterval(this.#ticker);
  }

  /** Neither the listening socket, if there is one, nor any connection is left. */
  async #closed(): Promise<void> {
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    if (this.#sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onLastSocket = resolve;
    });
  }

  #accept(socket: Socket, { limits, clock, onRequest, onViolation }: Http2ServerOptions): void {
    const connection = new Http2Connection({
      socket,
      limits,
      clock,
      onRequest,
      onClose: (error) => {
        if (error !== undefined) onViolation(error, socket.remoteAddress);
      },
    });
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
    if (this.#isDraining) connection.drain();
  }
}
