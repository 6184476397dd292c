import { type FSWatcher, watch } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { EndpointSource, parseEndpointList } from './endpoint-list.ts';
import type { InferencePool } from './inference-pool.ts';

export interface FileDiscoveryOptions {
  readonly pool: InferencePool;
  /** YAML or JSON: `endpoints: [{ name?, address, labels? }]`. */
  readonly path: string;
  /** Told once for each bad version of the file; the endpoints of the last good one stay. */
  readonly onProblem: (message: string) => void;
  /** Told after each load that changed the file's content. */
  readonly onLoaded?: ((endpoints: number) => void) | undefined;
  /** A file that is written in pieces is read once it has been quiet for this long. */
  readonly debounceMs?: number | undefined;
  /** Looks at the file's time in case the system tells no changes, as on network file systems. */
  readonly pollMs?: number | undefined;
}

export interface FileDiscovery {
  /** Stops watching; the endpoints stay. Idempotent. */
  close(): void;
}

/** Loads the file and follows it. Rejects if the file cannot be read or is bad at the start. */
export async function startFileDiscovery(options: FileDiscoveryOptions): Promise<FileDiscovery> {
  const { pool, path, onProblem, onLoaded, debounceMs = 100, pollMs = 2000 } = options;
  const source = new EndpointSource({ pool });
  let lastText: string | undefined;
  let lastProblem: string | undefined;
  let lastVersion = await versionOf(path);
  let isClosed = false;

  async function load(): Promise<void> {
    const text = await readFile(path, 'utf8').catch((error: Error) => {
      throw new Error(`${path}: cannot be read: ${error.message}`, { cause: error });
    });
    if (text === lastText || isClosed) return;
    const specs = parseEndpointList(text, path);
    source.apply(specs);
    lastText = text;
    lastProblem = undefined;
    onLoaded?.(specs.length);
  }

  async function reload(): Promise<void> {
    try {
      await load();
    } catch (error) {
      const { message } = error as Error;
      if (message !== lastProblem && !isClosed) onProblem(`${message}; the endpoints stay as they were`);
      lastProblem = message;
    }
  }

  await load();
  let timer: NodeJS.Timeout | undefined;
  const soon = (): void => {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(() => void reload(), debounceMs);
  };
  // The folder is watched, since editors and Kubernetes replace files instead of writing into them.
  const watcher = watchFolder(dirname(path), basename(path), soon);
  const poll = setInterval(async () => {
    const version = await versionOf(path);
    if (version !== lastVersion) soon();
    lastVersion = version;
  }, pollMs);
  return {
    close() {
      isClosed = true;
      watcher?.close();
      clearInterval(poll);
      clearTimeout(timer);
    },
  };
}

function watchFolder(folder: string, file: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, (_event, name) => {
      // Kubernetes swaps the link `..data` beside the file.
      if (name === null || name === file || name.startsWith('..')) changed();
    });
    // The poll goes on where watching breaks, e.g. when the folder is removed.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    // No watching here, e.g. too many watches: the poll alone follows the file.
    return undefined;
  }
}

/** Changes whenever the file does; empty while it is missing. */
async function versionOf(path: string): Promise<string> {
  try {
    const { mtimeMs, ino, size } = await stat(path);
    return `${mtimeMs} ${ino} ${size}`;
  } catch {
    return '';
  }
}
