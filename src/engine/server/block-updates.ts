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
  /** Among the completion's; undefined if they are not counted. */
  readonly reasoningTokens: number | undefined;
  /** With the last update. */
  readonly finish: ChoiceFinish | undefined;
}

/** The first choice of a chat, as blocks. */
export async function* blockUpdates({ output, updates }: ChatRun): AsyncGenerator<BlockUpdate> {
  const choice = new ChoiceOutput(output);
  const answer = new OutputBlocks(output.createCallId);
  for await (const { deltas, usage } of updates)
    for (const delta of deltas) {
      const { finish } = delta;
      const events = choice.push(delta).flatMap((event) => answer.push(event));
      if (finish !== undefined) events.push(...answer.close());
      const { reasoningTokens } = choice;
      yield { events, blocks: answer.blocks, usage, reasoningTokens, finish };
    }
}

/** The update that holds the whole answer; undefined if the client has gone before its end. */
export async function lastUpdate(updates: AsyncIterable<BlockUpdate>): Promise<BlockUpdate | undefined> {
  let last: BlockUpdate | undefined;
  for await (const update of updates) last = update;
  return last;
}
