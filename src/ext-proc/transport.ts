import type { Log } from '../telemetry/index.ts';
import type { TlsOptions } from './server-credentials.ts';
import type { StreamCollaborators } from './stream.ts';

/** What a transport needs: where to listen, and what to serve on the streams that come. */
export interface TransportOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsOptions;
  readonly log: Log;
  readonly collaborators: StreamCollaborators;
  /** To be called at the deadline of a shutdown, before streams are cut. */
  readonly beforeCut: () => void;
  /** What health on this port answers. */
  readonly claims: { readonly isReady: () => boolean; readonly isAlive: () => boolean };
}
