import { engineOptionsFromFlags, type FlagValue, serveEngine } from '../engine/index.ts';
import { createLog, type LogFormat, type LogLevel } from '../telemetry/index.ts';
import type { EngineListening } from './engine-pod.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { checkPorts } from './free-ports.ts';
import { stopSignal } from './stop-signal.ts';

type Flags = Readonly<Record<string, FlagValue>>;

/** Serves one model until a signal, or until the parent that started it is gone. */
export async function runEngine(model: string, given: object): Promise<void> {
  const flags = given as Flags;
  const log = createLog({ level: flags['logLevel'] as LogLevel, format: flags['logFormat'] as LogFormat });
  const options = optionsFrom(model, flags);
  const { host = '127.0.0.1', port = 8000 } = options;
  if (options.uds === undefined) await checkPorts([{ host, port, owner: 'engine', flag: '--port' }]);
  const server = await serveEngine({ ...options, log }).catch((error: Error) => {
    // The model, a flag, or a place that cannot be listened on: what was asked for is wrong, nothing broke.
    throw new CommandError(error.message, exitCodes.usage);
  });
  const message: EngineListening = { kind: 'listening', address: server.address };
  process.send?.(message);
  await Promise.race([stopSignal(), parentGone()]);
  await server.close();
  // The open channel would keep this process alive.
  if (process.connected) process.disconnect();
}

/** An engine that `up` has started must not outlive it, however `up` ended. Never, for others. */
function parentGone(): Promise<void> {
  return new Promise((resolve) => {
    if (process.channel !== undefined) process.once('disconnect', resolve);
  });
}

function optionsFrom(model: string, flags: Flags) {
  try {
    return engineOptionsFromFlags(model, flags);
  } catch (error) {
    throw new CommandError((error as Error).message, exitCodes.usage);
  }
}
