/** gRPC health as data, whatever transport serves it. */

export type HealthStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

const watchIntervalMs = 500;
const maxWatchMs = 3_600_000;

/**
 * Endpoint Picker Protocol, clause 13, plus the empty name and `inference-extension`, which the conformance
 * manifests probe.
 */
export function healthClaims(options: {
  readonly isReady: () => boolean;
  readonly isAlive: () => boolean;
}): ReadonlyMap<string, () => boolean> {
  const { isReady, isAlive } = options;
  return new Map([
    ['', isReady],
    ['readiness', isReady],
    ['inference-extension', isReady],
    ['envoy.service.ext_proc.v3.ExternalProcessor', isReady],
    ['liveness', isAlive],
  ]);
}

export function statusOf(claims: ReadonlyMap<string, () => boolean>, name: string): HealthStatus {
  const claim = claims.get(name);
  if (claim === undefined) return 'SERVICE_UNKNOWN';
  return claim() ? 'SERVING' : 'NOT_SERVING';
}

interface Watch {
  readonly read: () => HealthStatus;
  readonly tell: (status: HealthStatus) => void;
  readonly end: () => void;
}

/** The open `Watch` calls of one server. */
export class HealthWatches {
  readonly #open = new Set<() => void>();

  /** Tells the status now and after each change, for an hour at most; the function returned stops it. */
  start({ read, tell, end }: Watch): () => void {
    let last: HealthStatus | undefined;
    const look = () => {
      const now = read();
      if (now === last) return;
      last = now;
      tell(now);
    };
    look();
    const interval = setInterval(look, watchIntervalMs).unref();
    const stop = () => {
      clearInterval(interval);
      clearTimeout(limit);
      this.#open.delete(finish);
    };
    const finish = () => {
      look();
      stop();
      end();
    };
    const limit = setTimeout(finish, maxWatchMs).unref();
    this.#open.add(finish);
    return stop;
  }

  /** Tells the last status and ends them all: a watch never ends by itself, and would hold a shutdown up. */
  close(): void {
    for (const finish of [...this.#open]) finish();
  }
}
