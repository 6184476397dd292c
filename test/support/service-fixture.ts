import { onTestFinished } from 'vitest';
import { type PickerService, startPickerService } from '../../src/commands/picker-service.ts';
import { startServers, stopServers } from '../../src/commands/servers.ts';
import { type LoadedConfiguration, loadConfiguration } from '../../src/configuration/index.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { folderWith } from '../configuration/folder.ts';
import { type Answer, type ClientRequest, throughExtProc, throughGateway } from './door-client.ts';
import { ExtProcClient } from './ext-proc-client.ts';
import { type FakeEngine, type FakeEngineOptions, startFakeEngine } from './fake-engine.ts';
import { until } from './until.ts';

export const doors = ['gateway', 'extProc'] as const;

export interface ServiceFixture {
  readonly service: PickerService;
  readonly engines: readonly FakeEngine[];
  /** The first one. */
  readonly engine: FakeEngine;
  /** Of the metrics server. */
  readonly metricsUrl: string;
  /** Sends a request through the door and gives the whole answer. */
  send(request: ClientRequest): Promise<Answer>;
  /** Takes another configuration, as a reload does. */
  reload(yaml: string): Promise<void>;
}

export interface ServiceFixtureOptions {
  readonly door: (typeof doors)[number];
  /** The configuration without its endpoints. */
  readonly yaml: string;
  readonly engines: readonly FakeEngineOptions[];
}

/**
 * Picker, pool, scraper and one door as the commands build them, in front of engines on real HTTP. After the test
 * all is closed, and neither a waiting request nor a reservation may be left.
 */
export async function startService({
  door,
  yaml,
  engines: wanted,
}: ServiceFixtureOptions): Promise<ServiceFixture> {
  const engines = await Promise.all(wanted.map((each) => startFakeEngine(each)));
  const endpoints = engines.map(({ address }, at) => ({ name: `e${at + 1}`, address }));
  const service = await startPickerService({ loaded: await load(yaml), endpoints, log: silentLog });
  const servers = await startServers({
    doors: [door, 'metrics'],
    loaded: await load(yaml),
    service,
    log: silentLog,
  });
  const { address } = servers.get(door)!;
  const client = door === 'extProc' ? new ExtProcClient({ address }) : undefined;
  await until(() => readyEndpoints(service) === engines.length);
  onTestFinished(async () => {
    await until(() => service.picker.openAssignments === 0 && service.picker.waitingRequests === 0);
    service.picker.checkIntegrity();
    client?.close();
    await stopServers(servers, 0);
    await service.close();
    await Promise.all(engines.map((engine) => engine.close()));
  });
  return {
    service,
    engines,
    engine: engines[0]!,
    metricsUrl: `http://${servers.get('metrics')!.address}`,
    send: (request) =>
      client === undefined ? throughGateway(address, request) : throughExtProc(client, request),
    reload: async (next) => service.reload(await load(next)),
  };
}

export function readyEndpoints({ pool }: PickerService): number {
  return pool.snapshot(performance.now()).filter(({ isReady }) => isReady).length;
}

async function load(yaml: string): Promise<LoadedConfiguration> {
  const anywhere = [
    'gateway: { port: 0 }',
    "extProc: { port: 0, tls: { mode: 'off' } }",
    'metrics: { port: 0 }',
    '',
  ].join('\n');
  const folder = folderWith({ 'pointsman.yaml': `${anywhere}${yaml}` });
  return loadConfiguration({ file: `${folder}/pointsman.yaml` });
}
