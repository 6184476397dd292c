import { formatProblem, type LoadedConfiguration, loadConfiguration } from '../configuration/index.ts';
import type { SubmitOptions } from '../endpoint-picker/index.ts';
import { createLog } from '../telemetry/index.ts';
import { loadOptionsOf } from './configuration-flags.ts';
import { type Door, wantedPorts } from './doors.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { checkPorts } from './free-ports.ts';
import { environmentWarnings } from './llm-d/environment.ts';
import { type LlmDOptions, mergeLoadOptions } from './llm-d/read-flags.ts';
import { type PickerService, startPickerService } from './picker-service.ts';
import { runServers } from './run-servers.ts';
import { startServers } from './servers.ts';
import { prepareV8 } from './v8-settings.ts';

/**
 * What `epp` and `gateway` share: configuration, ports, service, doors, and serving until a signal. `llmD` is what
 * flags of llm-d's picker ask for.
 */
export async function serveCommand(
  options: object,
  doors: readonly Door[],
  llmD?: LlmDOptions,
): Promise<void> {
  prepareV8();
  const own = loadOptionsOf(options);
  const load = llmD === undefined ? own : mergeLoadOptions(own, llmD);
  const loaded = await loadConfiguration(load);
  if (llmD !== undefined) checkDiscovery(llmD, loaded);
  await checkPorts(wantedPorts(loaded, doors));
  const log = createLog(loaded.configuration.log);
  for (const warning of llmD?.warnings ?? []) log.warn({}, warning);
  for (const warning of llmD?.isLlmD ? environmentWarnings(process.env) : []) log.warn({}, warning);
  for (const warning of loaded.importation?.warnings ?? []) log.warn({}, formatProblem(warning));
  const { POD_NAME: pod, NAMESPACE } = process.env;
  const { poolName, poolNamespace: namespace = NAMESPACE } = textOptions(llmD);
  if (llmD?.isLlmD) log.info({ pod, namespace, pool: poolName }, "started with flags of llm-d's picker");
  const started = await startPickerService({ loaded, log, poolName, namespace });
  const service = llmD?.options.ignoresSubset === true ? withoutSubsets(started) : started;
  const servers = await startServers({ doors, loaded, service, log });
  for (const [door, { address }] of servers) log.info({ address }, `${door} is listening`);
  if (service.pool.size === 0)
    log.warn({}, 'the pool has no endpoints; name some with --endpoints or pool.endpoints');
  await runServers({ servers, service, load, loaded, log });
}

function textOptions(llmD: LlmDOptions | undefined): {
  readonly poolName?: string | undefined;
  readonly poolNamespace?: string | undefined;
} {
  const { poolName, poolNamespace } = llmD?.options ?? {};
  return {
    poolName: poolName === undefined ? undefined : String(poolName),
    poolNamespace: poolNamespace === undefined ? undefined : String(poolNamespace),
  };
}

/** Without watching Kubernetes, a pool's name alone gives no engines: better told now than by every request. */
function checkDiscovery({ options }: LlmDOptions, { configuration: { pool } }: LoadedConfiguration): void {
  const { poolName, endpointSelector } = options;
  if ((poolName ?? endpointSelector) === undefined) return;
  if (pool.endpoints.length > 0 || pool.file !== undefined) return;
  const asked = poolName === undefined ? '--endpoint-selector' : `--pool-name ${poolName}`;
  throw new CommandError(
    `${asked}: InferencePools and pods are not watched yet, so there would be no engines. Name them with --endpoints host:port,host:port, with --endpoints-file FILE, which is followed while it runs, or in pool.endpoints of the configuration.`,
    exitCodes.usage,
  );
}

/** The whole pool is open to every request, whatever the data plane names. */
function withoutSubsets(service: PickerService): PickerService {
  const { picker } = service;
  const pick: typeof picker.pick = (request, options) =>
    picker.pick(request, { ...options, subset: undefined });
  const submit: typeof picker.submit = (request, options, listener) =>
    picker.submit(request, new WithoutSubset(options), listener);
  return { ...service, picker: Object.create(picker, { pick: { value: pick }, submit: { value: submit } }) };
}

/** No spread: the signal is made when it is read. */
class WithoutSubset implements SubmitOptions {
  readonly subset = undefined;
  readonly parserFault: string | undefined;
  readonly explains: boolean | undefined;
  readonly #options: SubmitOptions;

  constructor(options: SubmitOptions) {
    this.parserFault = options.parserFault;
    this.explains = options.explains;
    this.#options = options;
  }

  get signal(): AbortSignal | undefined {
    return this.#options.signal;
  }
}
