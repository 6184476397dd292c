import { ConfigurationError, type LoadOptions, watchConfiguration } from '../configuration/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { PickerService } from './picker-service.ts';
import { type Servers, stopServers } from './servers.ts';
import { stopSignal } from './stop-signal.ts';

export interface RunOptions {
  readonly servers: Servers;
  readonly service: PickerService;
  readonly load: LoadOptions;
  readonly log: Log;
  /** What else must be stopped, when no request is in progress any more. */
  readonly stopOthers?: () => Promise<void>;
  /** Requests in progress may take this long after the signal. */
  readonly drainMs?: number;
}

const usualDrainMs = 30_000;

/**
 * Serves until SIGINT or SIGTERM, then stops in order: health says no, new requests are refused, those in
 * progress finish, the rest is stopped. SIGHUP and a change of the file reload profile, objectives, model
 * rewrites and limits.
 */
export async function runServers(options: RunOptions): Promise<void> {
  const { servers, service, load, log, stopOthers, drainMs = usualDrainMs } = options;
  const watch = watchConfiguration(load, {
    onChange: (loaded) => {
      service.reload(loaded);
      log.info(
        {},
        'configuration reloaded: profile, objectives, model rewrites and limits of flow control; the rest needs a restart',
      );
    },
    onInvalid: (error) => {
      const problems = error instanceof ConfigurationError ? error.message.split('\n') : [String(error)];
      log.error({ problems }, 'configuration not reloaded; the last good one stays');
    },
  });
  const onHangUp = () => void watch.reload();
  process.on('SIGHUP', onHangUp);

  const signal = await stopSignal();
  process.off('SIGHUP', onHangUp);
  watch.close();
  log.info({ signal, inProgress: service.picker.openAssignments }, 'stopping; once more stops at once');
  service.shutDown();
  const metrics = servers.get('metrics');
  await stopServers(new Map([...servers].filter(([door]) => door !== 'metrics')), drainMs);
  await service.close();
  await stopOthers?.();
  await metrics?.close();
  log.info({}, 'stopped');
}
