import { setTimeout as delay } from 'node:timers/promises';
import {
  ConfigurationError,
  type LoadedConfiguration,
  type LoadOptions,
  watchConfiguration,
} from '../configuration/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Door } from './doors.ts';
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
  readonly shutdown: Shutdown;
}

type Shutdown = LoadedConfiguration['configuration']['shutdown'];

/** Refusals may take this long to leave at the deadline, before what is left is cut. */
const flushMs = 250;

/**
 * Serves until SIGINT or SIGTERM, then stops in order: health says no while everything is served as before, no
 * more connections are taken, requests in progress and those that still come finish, the rest is stopped. SIGHUP
 * and a change of the file reload profile, objectives, model rewrites and limits.
 */
export async function runServers(options: RunOptions): Promise<void> {
  const { servers, service, load, log, stopOthers, shutdown } = options;
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
  service.drain();
  // A person at a terminal has nobody to tell, and waits.
  if (signal === 'SIGTERM') await delay(shutdown.drainDelayMs);
  await stopDoors(options);
  await service.close();
  await stopOthers?.();
  await stopServers(new Map([...servers].filter(([door]) => isProbed(door))), 0);
  log.info({}, 'stopped');
}

/** At the deadline requests that wait are refused, with a reason, before streams are cut. */
async function stopDoors({ servers, service, shutdown }: RunOptions): Promise<void> {
  const refuse = setTimeout(() => service.shutDown(), shutdown.deadlineMs);
  const doors = new Map([...servers].filter(([door]) => !isProbed(door)));
  await stopServers(doors, shutdown.deadlineMs + flushMs);
  clearTimeout(refuse);
}

/** Probes and scrapes are answered to the end. */
function isProbed(door: Door): boolean {
  return door === 'metrics' || door === 'health';
}
