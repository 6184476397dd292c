import type { EngineCore } from './engine-core.ts';
import type { EngineCommand, EngineMessage } from './engine-messages.ts';
import type { StepOutput } from './step-output.ts';
import { packOutputs } from './step-packing.ts';

/** Drives a core by commands and reports by messages. The thread it runs on decides when to step. */
export interface EngineLoop {
  /** Applies commands between steps. */
  handle(commands: readonly EngineCommand[]): void;
  /** One step, and its message. Throws what the model throws: the engine is broken then. */
  step(): void;
  readonly hasWork: boolean;
  readonly isClosed: boolean;
}

export function createEngineLoop(core: EngineCore, post: (message: EngineMessage) => void): EngineLoop {
  let accepted = 0;
  let isClosed = false;

  const report = (outputs: readonly StepOutput[]) =>
    post({
      type: 'step',
      outputs: packOutputs(outputs),
      pooled: core.drainPooled(),
      gauges: core.gauges,
      accepted,
      kvEvents: core.drainKvEvents(),
      blockLives: core.drainBlockLives(),
    });

  const done = (act: () => void) => () => {
    act();
    return true;
  };

  const answer = (callId: number, act: () => boolean): void => {
    let isDone = false;
    let error: string | undefined;
    try {
      isDone = act();
    } catch (thrown) {
      error = (thrown as Error).message;
    }
    post({ type: 'call_result', callId, isDone, error });
  };

  const apply = (command: EngineCommand): void => {
    switch (command.type) {
      case 'add':
        accepted++;
        try {
          core.add(command.request);
        } catch (error) {
          post({ type: 'rejected', requestId: command.request.id, message: (error as Error).message });
        }
        break;
      case 'vocabulary':
        core.useVocabulary(command.vocabulary);
        break;
      case 'end_of_text':
        core.endTextAt(command.tokenIds);
        break;
      case 'abort':
        core.abort(command.requestId, command.choice);
        break;
      case 'reset_prefix_cache':
        answer(command.callId, () => core.resetPrefixCache());
        break;
      case 'sleep':
        answer(
          command.callId,
          done(() => core.sleep()),
        );
        break;
      case 'wake':
        answer(
          command.callId,
          done(() => core.wake()),
        );
        break;
      case 'load_adapter':
        answer(
          command.callId,
          done(() => core.loadAdapter(command.name, command.path, command.isReplacement)),
        );
        break;
      case 'unload_adapter':
        answer(command.callId, () => core.unloadAdapter(command.name));
        break;
      case 'close':
        isClosed = true;
        core.close();
        break;
    }
  };

  return {
    handle: (commands) => {
      for (const command of commands) if (!isClosed) apply(command);
      // No step will follow that could tell the new gauges.
      if (!isClosed && !core.hasWork) report([]);
    },
    step: () => report(core.step()),
    get hasWork() {
      return !isClosed && core.hasWork;
    },
    get isClosed() {
      return isClosed;
    },
  };
}
