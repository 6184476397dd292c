import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfiguration } from '../configuration/index.ts';
import type { EndpointPicker } from '../endpoint-picker/index.ts';
import { createLog } from '../telemetry/index.ts';
import { banner } from './banner.ts';
import { loadOptionsOf } from './configuration-flags.ts';
import { type Door, wantedPorts } from './doors.ts';
import type { EnginePod } from './engine-pod.ts';
import { createEnginePods, enginePorts, modelFolder } from './engine-pods.ts';
import { CommandError } from './exit-codes.ts';
import { checkPorts } from './free-ports.ts';
import { holdLines } from './held-lines.ts';
import { prepareV8 } from './v8-settings.ts';

/** Engines end within this time after SIGTERM, or are killed. */
const engineStopMs = 5_000;
const readyTimeoutMs = 60_000;

/** Engines first, then the doors, then the banner; in the other order on the way out. */
export async function runUp(options: object): Promise<void> {
  prepareV8();
  const startedMs = performance.now();
  const load = loadOptionsOf(options);
  const loaded = await loadConfiguration(load);
  const { up: wish, extProc } = loaded.configuration;
  const doors: Door[] = ['gateway', ...(extProc.enabled ? (['extProc'] as const) : []), 'health', 'metrics'];
  const model = modelFolder(loaded);
  await checkPorts([...wantedPorts(loaded, doors), ...enginePorts(wish)]);

  const lines = holdLines(process.stderr);
  const log = createLog({ ...loaded.configuration.log, stream: lines });
  const pods = createEnginePods({ wish, model, log });
  const stopPods = async () => {
    await Promise.all(pods.map((pod) => pod.stop(engineStopMs)));
  };
  try {
    // The rest of the program is loaded while the engines load their model.
    const [{ startPickerService }, { startServers }, { runServers }] = await Promise.all([
      import('./picker-service.ts'),
      import('./servers.ts'),
      import('./run-servers.ts'),
      startPods(pods, basename(model)),
    ]);
    const endpoints = pods.map(({ name, address }) => ({ name, address }));
    const service = await startPickerService({ loaded, endpoints, log });
    const servers = await startServers({ doors, loaded, service, log });
    const modelName = await servedModel(service.picker, pods.length);
    const seconds = (performance.now() - startedMs) / 1000;
    const engines = pods.map(({ address }) => address);
    process.stdout.write(banner({ servers, engines, modelName, seconds }));
    lines.release();
    await runServers({ servers, service, load, loaded, log, stopOthers: stopPods });
  } finally {
    lines.release();
    await stopPods();
  }
}

async function startPods(pods: readonly EnginePod[], model: string): Promise<void> {
  const startedMs = performance.now();
  const count = pods.length === 1 ? '1 engine' : `${pods.length} engines`;
  process.stdout.write(`starting ${count} with ${model}\n`);
  await Promise.all(
    pods.map(async (pod) => {
      await pod.start();
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
      process.stdout.write(`  ${pod.name} serves on ${pod.address} (${seconds} s)\n`);
    }),
  );
}

/** Waits until every engine is ready and has told its models; gives the first. */
async function servedModel(picker: EndpointPicker, engines: number): Promise<string> {
  const deadlineMs = performance.now() + readyTimeoutMs;
  while (performance.now() < deadlineMs) {
    const first = picker.models()[0];
    if (first !== undefined && first.endpoints.length >= engines) return first.id;
    await delay(20);
  }
  throw new CommandError(`the engines run but are not ready after ${readyTimeoutMs / 1000} s`);
}
