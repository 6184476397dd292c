import type { Server, ServerCredentials } from '@grpc/grpc-js';
import type { RunningServer } from '../protocol/running-server.ts';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: ServerCredentials;
  /** Called when closing begins. */
  readonly onClose?: () => void;
  /** Called at the deadline, before streams are cut. */
  readonly beforeCut?: () => void;
}

const defaultDeadlineMs = 10_000;

/** Binds a gRPC server and wraps its two ways of stopping into one. */
export async function listen(server: Server, options: ListenOptions): Promise<RunningServer> {
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${options.port}`, options.credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(new Error(`Cannot listen on ${host}:${options.port}.`, { cause: error }));
    });
  });
  let closing: Promise<void> | undefined;
  return {
    address: `${host}:${port}`,
    port,
    close(deadlineMs = defaultDeadlineMs) {
      if (closing !== undefined) return closing;
      closing = stop(server, deadlineMs, options.beforeCut);
      options.onClose?.();
      return closing;
    },
  };
}

/** Tells clients to go, lets streams finish until the deadline, then cuts them. */
function stop(server: Server, deadlineMs: number, beforeCut?: () => void): Promise<void> {
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
