import { blockUpdates } from './block-updates.ts';
import type { ChatRun } from './chat-run.ts';
import type { BlockEvent, OutputBlock } from './output-blocks.ts';
import type { ResponseState } from './response-state.ts';
import { outputItem, outputPart } from './responses-items.ts';

export type ResponsesEvent = Readonly<Record<string, unknown>> & {
  readonly type: string;
  readonly sequence_number: number;
};
type UnnumberedEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** What happens to a response, from 0 on; keeps `state` up to date. Ends without a last word if the run is cut. */
export async function* responseEvents(run: ChatRun, state: ResponseState): AsyncGenerator<ResponsesEvent> {
  let next = 0;
  for await (const event of unnumbered(run, state)) yield { ...event, sequence_number: next++ };
}

async function* unnumbered(run: ChatRun, state: ResponseState): AsyncGenerator<UnnumberedEvent> {
  for await (const update of blockUpdates(run)) {
    if (state.last === undefined) {
      yield { type: 'response.created', response: state.object };
      state.begin();
      yield { type: 'response.in_progress', response: state.object };
    }
    state.update(update);
    for (const event of update.events) yield* blockEvents(run, event);
  }
  if (state.last?.finish !== undefined) yield { type: `response.${state.status}`, response: state.object };
}

/** The names of the events by kind of block. */
const deltaNames = {
  content: 'response.output_text',
  reasoning: 'response.reasoning_text',
  call: 'response.function_call_arguments',
} as const;

function* blockEvents(run: ChatRun, { kind, block, text }: BlockEvent): Generator<UnnumberedEvent> {
  const item = (status: string) => outputItem(run.head.id, block, status);
  const where = { item_id: item('in_progress').id, output_index: block.index };
  const inPart = block.kind === 'call' ? where : { ...where, content_index: 0 };
  const part = outputPart(block);
  const name = deltaNames[block.kind];
  const logprobs = block.kind === 'content' ? { logprobs: [] } : {};
  switch (kind) {
    case 'open':
      yield {
        type: 'response.output_item.added',
        output_index: block.index,
        item: outputItem(run.head.id, { ...block, text: '' }, 'in_progress'),
      };
      if (part !== undefined)
        yield { type: 'response.content_part.added', ...inPart, part: outputPart({ ...block, text: '' }) };
      return;
    case 'delta':
      yield { type: `${name}.delta`, ...inPart, delta: text, ...logprobs };
      return;
    case 'close':
      yield { type: `${name}.done`, ...inPart, ...wholeText(block), ...logprobs };
      if (part !== undefined) yield { type: 'response.content_part.done', ...inPart, part };
      yield { type: 'response.output_item.done', output_index: block.index, item: item('completed') };
  }
}

function wholeText({ kind, name, text }: OutputBlock) {
  return kind === 'call' ? { name, arguments: text } : { text };
}
