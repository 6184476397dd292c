import { resolve } from 'node:path';
import { fileVersion } from './file-version.ts';
import { type LoadedConfiguration, type LoadOptions, loadConfiguration } from './load-configuration.ts';

export interface WatchOptions {
  /** Of the file as it was loaded last, so that a change before the watch began is seen. */
  readonly version: string | undefined;
  /** A new configuration that is valid as a whole. */
  readonly onChange: (loaded: LoadedConfiguration) => void;
  /** The file changed but is not valid; the last good configuration stays in force. */
  readonly onInvalid: (error: unknown) => void;
  readonly intervalMs?: number;
}

export interface ConfigurationWatch {
  /** Reads the file again now, changed or not. */
  reload(): Promise<void>;
  close(): void;
}

/**
 * Reads the configuration again when its file changes. By polling, because editors and mounted ConfigMaps
 * replace files rather than write them.
 */
export function watchConfiguration(load: LoadOptions, options: WatchOptions): ConfigurationWatch {
  const { onChange, onInvalid, intervalMs = 1000 } = options;
  const { file } = load;
  let running: Promise<void> | undefined;
  let isWanted = false;

  const reloadOnce = async () => {
    try {
      onChange(await loadConfiguration(load));
    } catch (error) {
      onInvalid(error);
    }
  };
  const reload = (): Promise<void> => {
    isWanted = true;
    running ??= (async () => {
      while (isWanted) {
        isWanted = false;
        await reloadOnce();
      }
      running = undefined;
    })();
    return running;
  };
  const path = file === undefined ? undefined : resolve(load.workingFolder ?? process.cwd(), file);
  let { version } = options;
  const timer = setInterval(() => {
    const now = fileVersion(path);
    if (now === version) return;
    version = now;
    void reload();
  }, intervalMs).unref();
  return {
    reload,
    close: () => clearInterval(timer),
  };
}
