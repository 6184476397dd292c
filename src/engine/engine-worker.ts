import { platform, setPriority } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { createEngineLoop } from './engine-loop.ts';
import type { EngineCommand, EngineMessage } from './engine-messages.ts';
import type { OpenEngineOptions } from './open-engine.ts';
import { openEngine } from './open-engine.ts';

/**
 * Entry of the engine's thread. While there is work it steps without a pause and takes commands between
 * steps, straight from the port; without work it sleeps until the next message.
 *
 * An exception in a step ends the thread: a model that failed once cannot be trusted with the next batch.
 */
function runEngine(port: MessagePort, options: OpenEngineOptions): void {
  yieldToServers();
  const post = (message: EngineMessage) => port.postMessage(message);
  let opened: ReturnType<typeof openEngine>;
  try {
    opened = openEngine(options, undefined, (part) => post({ type: 'loading', part }));
  } catch (error) {
    post({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
    port.close();
    return;
  }
  const loop = createEngineLoop(opened.core, post);
  port.on('message', (first: EngineCommand) => {
    loop.handle([first, ...pendingCommands(port)]);
    while (loop.hasWork) {
      loop.step();
      const commands = pendingCommands(port);
      if (commands.length > 0) loop.handle(commands);
    }
    if (loop.isClosed) port.close();
  });
  post({ type: 'ready', info: opened.info });
}

/**
 * Computing takes all the time it can get; answering takes little, but at once. On Linux priority belongs to the
 * thread, and the compute threads that this one starts inherit it.
 */
function yieldToServers(): void {
  const computeNiceness = 5;
  if (platform() === 'linux') setPriority(0, computeNiceness);
}

function pendingCommands(port: MessagePort): EngineCommand[] {
  const commands: EngineCommand[] = [];
  for (;;) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) return commands;
    commands.push(received.message as EngineCommand);
  }
}

if (parentPort !== null) runEngine(parentPort, workerData as OpenEngineOptions);
