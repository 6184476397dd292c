import { loadConfiguration } from '../configuration/index.ts';
import { createLog } from '../telemetry/index.ts';
import { loadOptionsOf } from './configuration-flags.ts';
import { type Door, wantedPorts } from './doors.ts';
import { checkPorts } from './free-ports.ts';
import { startPickerService } from './picker-service.ts';
import { runServers } from './run-servers.ts';
import { startServers } from './servers.ts';

/** What `epp` and `gateway` share: configuration, ports, service, doors, and serving until a signal. */
export async function serveCommand(options: object, doors: readonly Door[]): Promise<void> {
  const load = loadOptionsOf(options);
  const loaded = await loadConfiguration(load);
  await checkPorts(wantedPorts(loaded, doors));
  const log = createLog(loaded.configuration.log);
  const service = await startPickerService({ loaded, log });
  const servers = await startServers({ doors, loaded, service, log });
  for (const [door, { address }] of servers) log.info({ address }, `${door} is listening`);
  if (service.pool.size === 0)
    log.warn({}, 'the pool has no endpoints; name some with --endpoints or pool.endpoints');
  await runServers({ servers, service, load, log });
}
