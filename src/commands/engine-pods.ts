import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Configuration, LoadedConfiguration } from '../configuration/index.ts';
import type { Log } from '../telemetry/index.ts';
import { EnginePod } from './engine-pod.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import type { WantedPort } from './free-ports.ts';
import { packageFolder } from './package-folder.ts';

type UpConfiguration = Configuration['up'];

const host = '127.0.0.1';

/** The folder or file that the engines load; the bundled model unless another one is named. */
export function modelFolder({ configuration, folder }: LoadedConfiguration): string {
  const { model } = configuration.up;
  const path =
    model === undefined
      ? join(packageFolder(), 'config', 'models', 'pointsman-mini')
      : resolve(folder, model);
  if (existsSync(join(path, 'config.json')) || (path.endsWith('.gguf') && existsSync(path))) return path;
  const flag =
    model === undefined
      ? 'name another with --model'
      : 'expected a model folder with config.json, or a .gguf file';
  throw new CommandError(`there is no model in ${path}; ${flag}`, exitCodes.usage);
}

export function enginePorts({ pods, enginePortBase }: UpConfiguration): readonly WantedPort[] {
  return Array.from({ length: pods }, (_, at) => ({
    host,
    port: portOf(enginePortBase, at),
    owner: `engine-${at + 1}`,
    flag: '--engine-port-base',
  }));
}

export interface EnginePodsOptions {
  readonly wish: UpConfiguration;
  readonly model: string;
  readonly log: Log;
}

/** Engines as child processes of this program; they share the cores evenly. */
export function createEnginePods({ wish, model, log }: EnginePodsOptions): readonly EnginePod[] {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const threads = Math.max(1, Math.floor(availableParallelism() / wish.pods));
  return Array.from(
    { length: wish.pods },
    (_, at) =>
      new EnginePod({
        name: `engine-${at + 1}`,
        command: [process.execPath, main, 'engine', model],
        args: [
          ...['--threads', String(threads), '--served-model-name', basename(model)],
          ...['--log-format', 'json', ...wish.engineArgs],
        ],
        host,
        port: portOf(wish.enginePortBase, at),
        log,
      }),
  );
}

/** Base 0 means any free port for each. */
function portOf(base: number, at: number): number {
  return base === 0 ? 0 : base + at;
}
