import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { RunningServer } from '../protocol/running-server.ts';
import { type HealthStatus, HealthWatches, healthClaims, statusOf } from './health-status.ts';
import { listen } from './listen.ts';
import { loadServiceDefinitions } from './service-definitions.ts';

export interface HealthOptions {
  readonly host: string;
  readonly port: number;
  /** Synced, leader, not draining: requests are welcome. */
  readonly isReady: () => boolean;
  /** The process works. Independent of readiness, or a follower would be restarted. */
  readonly isAlive: () => boolean;
}

interface HealthRequest {
  readonly service?: string;
}

interface HealthReply {
  readonly status: HealthStatus;
}

/** gRPC health in plain text on its own port, for probes. */
export async function serveHealth({ host, port, ...claims }: HealthOptions): Promise<RunningServer> {
  const server = new Server();
  const watches = new HealthWatches();
  server.addService(loadServiceDefinitions().health, healthService(claims, watches));
  const credentials = ServerCredentials.createInsecure();
  return listen(server, { host, port, credentials, onClose: () => watches.close() });
}

/** The health service for grpc-js. */
export function healthService(
  options: Pick<HealthOptions, 'isReady' | 'isAlive'>,
  watches: HealthWatches,
): UntypedServiceImplementation {
  const claims = healthClaims(options);
  return {
    Check(call: ServerUnaryCall<HealthRequest, HealthReply>, callback: sendUnaryData<HealthReply>) {
      const name = call.request.service ?? '';
      if (claims.has(name)) callback(null, { status: statusOf(claims, name) });
      else callback({ code: status.NOT_FOUND, details: `unknown service ${name}` });
    },
    List(_call: unknown, callback: sendUnaryData<object>) {
      const statuses = [...claims.keys()].map((name) => [name, { status: statusOf(claims, name) }]);
      callback(null, { statuses: Object.fromEntries(statuses) });
    },
    Watch(call: ServerWritableStream<HealthRequest, HealthReply>) {
      const name = call.request.service ?? '';
      const stop = watches.start({
        read: () => statusOf(claims, name),
        tell: (now) => call.write({ status: now }),
        end: () => call.end(),
      });
      call.on('cancelled', stop);
      call.on('close', stop);
    },
  };
}
