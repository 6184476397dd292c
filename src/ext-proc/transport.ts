import type { Socket } from 'node:net';
import type { Log } from '../telemetry/index.ts';
import type { TlsOptions } from './server-credentials.ts';
import type { StreamCollaborators } from './stream-collaborators.ts';

/** What a transport needs: what to serve on the streams that come. */
export interface TransportOptions {
  readonly tls: TlsOptions;
  readonly log: Log;
  readonly collaborators: StreamCollaborators;
  /** To be called at the deadline of a shutdown, before streams are cut. */
  readonly beforeCut: () => void;
  /** What health on this port answers. */
  readonly claims: { readonly isReady: () => boolean; readonly isAlive: () => boolean };
}

/** Serves the streams of connections: of those that it accepts itself, and of those that it is given. */
export interface Transport {
  /** Gives the port; rejects if it cannot be had. */
  listen(host: string, port: number): Promise<number>;
  /** Takes a connection, of which nothing has been read. */
  accept(socket: Socket): void;
  /** Takes no new connections, asks clients to go, lets streams finish until the deadline, then cuts them. */
  close(deadlineMs: number): Promise<void>;
}
