import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { EngineCore } from './engine-core.ts';
import { createEngineLoop } from './engine-loop.ts';
import type { EngineCommand, EngineInfo, EngineMessage } from './engine-messages.ts';
import type { OpenEngineOptions } from './open-engine.ts';

export interface TransportHandlers {
  onMessage(message: EngineMessage): void;
  /** The engine is gone without having been asked to go. */
  onCrash(error: Error): void;
}

/** Where the engine runs, seen from the server. */
export interface EngineTransport {
  /** Once, before anything else. */
  start(handlers: TransportHandlers): void;
  send(command: EngineCommand): void;
  /** Lets the engine free its memory, then ends its thread. */
  close(): Promise<void>;
}

/** The engine in a worker thread: native steps block there, never the event loop. */
export function createWorkerTransport(options: OpenEngineOptions): EngineTransport {
  const worker = new Worker(new URL('./engine-worker.js', import.meta.url), { workerData: options });
  let isClosing = false;
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  return {
    start: ({ onMessage, onCrash }) => {
      worker.on('message', onMessage);
      worker.on('error', onCrash);
      worker.on('exit', (code) => {
        if (!isClosing) onCrash(new Error(`the engine's thread ended with code ${code}`));
      });
    },
    send: (command) => worker.postMessage(command),
    close: async () => {
      isClosing = true;
      worker.postMessage({ type: 'close' } satisfies EngineCommand);
      await exited;
    },
  };
}

/** The engine on this thread, one step per turn of the event loop: for tests with models that do not block. */
export function createInlineTransport(core: EngineCore, info: EngineInfo): EngineTransport {
  let handlers: TransportHandlers | undefined;
  let isRunning = false;
  const inbox: EngineCommand[] = [];
  const loop = createEngineLoop(core, (message) => handlers?.onMessage(message));
  const run = async (): Promise<void> => {
    if (isRunning) return;
    isRunning = true;
    try {
      do {
        await setImmediate();
        if (inbox.length > 0) loop.handle(inbox.splice(0));
        if (loop.hasWork) loop.step();
      } while (loop.hasWork || inbox.length > 0);
    } catch (error) {
      handlers?.onCrash(error as Error);
      return;
    }
    isRunning = false;
  };
  return {
    start: (given) => {
      handlers = given;
      given.onMessage({ type: 'ready', info });
    },
    send: (command) => {
      inbox.push(command);
      void run();
    },
    close: async () => {
      loop.handle([{ type: 'close' }]);
    },
  };
}
