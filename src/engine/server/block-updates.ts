import { ChoiceOutput } from './chat-output.ts';
import type { ChatRun } from './chat-run.ts';
import type { ChoiceFinish } from './choice-text.ts';
import type { BlockEvent, OutputBlock } from './output-blocks.ts';
import { OutputBlocks } from './output-blocks.ts';
import type { GenerationUsage } from './run-generation.ts';

export interface BlockUpdate {
  readonly events: readonly BlockEvent[];
  /** All blocks so far. */
  readonly blocks: readonly OutputBlock[];
  readonly usage: GenerationUsage;
  /** With the last update. */
  readonly finish: ChoiceFinish | undefined;
}

/** The first choice of a chat, as blocks. */
export async function* blockUpdates({ output, updates }: ChatRun): AsyncGenerator<BlockUpdate> {
  const choice = new ChoiceOutput(output);
  const answer = new OutputBlocks(output.createCallId);
  for await (const { deltas, usage } of updates)
    for (const { text, finish } of deltas) {
      const events = choice.push(text, finish).flatMap((event) => answer.push(event));
      if (finish !== undefined) events.push(...answer.close());
      yield { events, blocks: answer.blocks, usage, finish };
    }
}

/** The update that holds the whole answer; undefined if the client has gone before its end. */
export async function lastUpdate(updates: AsyncIterable<BlockUpdate>): Promise<BlockUpdate | undefined> {
  let last: BlockUpdate | undefined;
  for await (const update of updates) last = update;
  return last;
}
