import type { Server, ServerCredentials } from '@grpc/grpc-js';
import type { RunningServer } from '../protocol/running-server.ts';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: ServerCredentials;
  /** Called when closing begins. */
  readonly onClose?: () => void;
}

const defaultDeadlineMs = 10_000;

/** Binds a gRPC server and wraps its two ways of stopping into one. */
export async function listen(server: Server, options: ListenOptions): Promise<RunningServer> {
  const port = await bind(server, options.host, options.port, options.credentials);
  return runningServer(options.host, port, (deadlineMs) => {
    const closed = stop(server, deadlineMs);
    options.onClose?.();
    return closed;
  });
}

/** A server that has begun to listen, as the caller sees it. */
export function runningServer(
  host: string,
  port: number,
  close: (deadlineMs: number) => Promise<void>,
): RunningServer {
  let closing: Promise<void> | undefined;
  return {
    address: `${hostText(host)}:${port}`,
    port,
    close(deadlineMs = defaultDeadlineMs) {
      closing ??= close(deadlineMs);
      return closing;
    },
  };
}

function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Gives the port; rejects if it cannot be had. */
export function bind(
  server: Server,
  host: string,
  port: number,
  credentials: ServerCredentials,
): Promise<number> {
  const address = `${hostText(host)}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(new Error(`Cannot listen on ${address}.`, { cause: error }));
    });
  });
}

/** Tells clients to go, lets streams finish until the deadline, then cuts them; `beforeCut` is called first. */
export function stop(server: Server, deadlineMs: number, beforeCut?: () => void): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => {
      beforeCut?.();
      server.forceShutdown();
      resolve();
    }, deadlineMs);
    server.tryShutdown(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}
