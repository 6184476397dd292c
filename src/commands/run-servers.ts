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
import { keysThatNeedRestart } from './reloaded-keys.ts';
import { type Servers, stopServers } from './servers.ts';
import { stopSignal } from './stop-signal.ts';

export interface RunOptions {
  readonly servers: Servers;
  readonly service: PickerService;
  readonly load: LoadOptions;
  /** What the process was started with. */
  readonly loaded: LoadedConfiguration;
  readonly log: Log;
  /** What else must be stopped, when no request is in progress any more. */
  readonly stopOthers?: () => Promise<void>;
}

/** Refusals may take this long to leave at the deadline, before what is left is cut. */
const flushMs = 1000;

/**
 * Serves until SIGINT or SIGTERM, then stops in order: health says no while everything is served as before, no
 * more connections are taken, requests in progress and those that still come finish, the rest is stopped. SIGHUP
 * and a change of the file reload what `reloadedKeys` names.
 */
export async function runServers(options: RunOptions): Promise<void> {
  const { servers, service, load, loaded, log, stopOthers } = options;
  const { shutdown } = loaded.configuration;
  const watch = watchConfiguration(load, {
    version: loaded.version,
    onChange: (next) => {
      service.reload(next);
      const keys = keysThatNeedRestart(loaded.configuration, next.configuration);
      if (keys.length === 0) log.info({}, 'configuration reloaded');
      else log.warn({ keys }, 'configuration reloaded; what has changed in these keys needs a restart');
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
async function stopDoors({ servers, service, loaded }: RunOptions): Promise<void> {
  const { shutdown } = loaded.configuration;
  const refuse = setTimeout(() => service.shutDown(), shutdown.deadlineMs);
  const doors = new Map([...servers].filter(([door]) => !isProbed(door)));
  await stopServers(doors, shutdown.deadlineMs + flushMs);
  clearTimeout(refuse);
}

/** Probes and scrapes are answered to the end. */
function isProbed(door: Door): boolean {
  return door === 'metrics' || door === 'health';
}
