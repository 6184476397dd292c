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

/** Tells the status now and after each change, for an hour at most; the function returned stops it. */
export function watchStatus(watch: {
  readonly read: () => HealthStatus;
  readonly tell: (status: HealthStatus) => void;
  readonly end: () => void;
}): () => void {
  let last: HealthStatus | undefined;
  const look = () => {
    const now = watch.read();
    if (now === last) return;
    last = now;
    watch.tell(now);
  };
  look();
  const interval = setInterval(look, watchIntervalMs).unref();
  const limit = setTimeout(() => {
    clearInterval(interval);
    watch.end();
  }, maxWatchMs).unref();
  return () => {
    clearInterval(interval);
    clearTimeout(limit);
  };
}
