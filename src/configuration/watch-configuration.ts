import { unwatchFile, watchFile } from 'node:fs';
import { type LoadedConfiguration, type LoadOptions, loadConfiguration } from './load-configuration.ts';

export interface WatchOptions {
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
  const listener = (now: { mtimeMs: number; ino: number }, before: { mtimeMs: number; ino: number }) => {
    if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) void reload();
  };
  if (file !== undefined) watchFile(file, { interval: intervalMs, persistent: false }, listener);
  return {
    reload,
    close: () => {
      if (file !== undefined) unwatchFile(file, listener);
    },
  };
}
