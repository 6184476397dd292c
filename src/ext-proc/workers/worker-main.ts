/** The program of a worker. Its parent starts it, and tells it when to end. */
import { Socket } from 'node:net';
import { ExtProcWorker } from './serve-in-worker.ts';
import { type FromWorker, linkDescriptor, type ToWorker, type WorkerSettings } from './worker-messages.ts';

let worker: ExtProcWorker | undefined;
let settings: WorkerSettings | undefined;

/** A terminal and some supervisors signal the whole group; what follows from that is for the parent to tell. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

process.on('message', (message: ToWorker, socket: Socket | undefined) => {
  switch (message.kind) {
    case 'start':
      settings = message.settings;
      void start(message.settings, message.state);
      return;
    case 'state':
      worker?.update(message.state);
      return;
    case 'connection':
      // Undefined if the client has gone on the way here.
      if (socket !== undefined) worker?.accept(socket);
      return;
    case 'drain':
      void worker?.close(message.deadlineMs);
      return;
  }
});

process.on('disconnect', () => {
  if (worker === undefined) process.exit(1);
  void worker.close(settings?.orphanDeadlineMs ?? 0);
});

async function start(given: WorkerSettings, state: Parameters<ExtProcWorker['update']>[0]): Promise<void> {
  const socket = new Socket({ fd: linkDescriptor, readable: true, writable: true });
  try {
    worker = await ExtProcWorker.start({ settings: given, state, socket, tell, onEnd: () => end() });
    tell({ kind: 'ready' });
  } catch (error) {
    tell({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
  }
}

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message, () => {});
}

/** After the last message has left. */
function end(): void {
  if (process.connected) process.disconnect();
  process.exit(0);
}
