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

interface HealthStatus {
  readonly status: 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
}

const watchIntervalMs = 500;
const maxWatchMs = 3_600_000;

/** gRPC health in plain text on its own port, for probes. */
export async function serveHealth({ host, port, ...claims }: HealthOptions): Promise<RunningServer> {
  const server = new Server();
  server.addService(loadServiceDefinitions().health, healthService(claims));
  return listen(server, { host, port, credentials: ServerCredentials.createInsecure() });
}

/**
 * Endpoint Picker Protocol, clause 13, plus the empty name and `inference-extension`, which the conformance
 * manifests probe.
 */
export function healthService({
  isReady,
  isAlive,
}: Pick<HealthOptions, 'isReady' | 'isAlive'>): UntypedServiceImplementation {
  const services = new Map<string, () => boolean>([
    ['', isReady],
    ['readiness', isReady],
    ['inference-extension', isReady],
    ['envoy.service.ext_proc.v3.ExternalProcessor', isReady],
    ['liveness', isAlive],
  ]);
  const statusOf = (name: string): HealthStatus => {
    const claim = services.get(name);
    if (claim === undefined) return { status: 'SERVICE_UNKNOWN' };
    return { status: claim() ? 'SERVING' : 'NOT_SERVING' };
  };

  return {
    Check(call: ServerUnaryCall<HealthRequest, HealthStatus>, callback: sendUnaryData<HealthStatus>) {
      const name = call.request.service ?? '';
      if (services.has(name)) callback(null, statusOf(name));
      else callback({ code: status.NOT_FOUND, details: `unknown service ${name}` });
    },
    List(_call: unknown, callback: sendUnaryData<object>) {
      const statuses = [...services.keys()].map((name) => [name, statusOf(name)]);
      callback(null, { statuses: Object.fromEntries(statuses) });
    },
    Watch(call: ServerWritableStream<HealthRequest, HealthStatus>) {
      const name = call.request.service ?? '';
      let last: string | undefined;
      const tell = () => {
        const now = statusOf(name);
        if (now.status === last) return;
        last = now.status;
        call.write(now);
      };
      tell();
      const interval = setInterval(tell, watchIntervalMs).unref();
      const limit = setTimeout(() => call.end(), maxWatchMs).unref();
      const stop = () => {
        clearInterval(interval);
        clearTimeout(limit);
      };
      call.on('cancelled', stop);
      call.on('close', stop);
    },
  };
}
