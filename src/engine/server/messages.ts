import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BlockUpdate } from './block-updates.ts';
import { blockUpdates, lastUpdate } from './block-updates.ts';
import { renderChat } from './chat-request.ts';
import type { ChatRun } from './chat-run.ts';
import { startChat } from './chat-run.ts';
import type { ChoiceFinish } from './choice-text.ts';
import { chatBodyOfMessages } from './messages-request.ts';
import type { BlockEvent, OutputBlock } from './output-blocks.ts';
import { invalid, isGiven, readBody } from './request-fields.ts';
import type { GenerationUsage } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { clientGone, resolveModel } from './server-context.ts';
import { namedStream, streamEvents } from './stream-events.ts';

type MessagesEvent = Readonly<Record<string, unknown>> & { readonly type: string };

const fieldNames = {
  stop: 'stop_sequences',
  reasoning_effort: 'output_config.effort',
  'response_format.json_schema': 'output_config.format',
  response_format: 'output_config.format',
};

/** `POST /v1/messages`, as Anthropic's API: https://docs.anthropic.com/en/api/messages */
export async function messages(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = readBody(request.body);
  if (!isGiven(body, 'max_tokens'))
    throw invalid('max_tokens is required: how many tokens may be generated.', 'max_tokens');
  const run = await startChat(
    context,
    chatBodyOfMessages(body),
    { request, stop: clientGone(reply) },
    { idPrefix: 'msg_', promptField: 'messages', fieldNames },
  );
  if (run.options.isStream) return streamEvents(reply, run.signal, streamed(run), namedStream('anthropic'));
  const last = await lastUpdate(blockUpdates(run));
  return message(run, last?.blocks ?? [], last?.finish, last?.usage ?? noUsage);
}

/** `POST /v1/messages/count_tokens` */
export async function countTokens(context: ServerContext, request: FastifyRequest) {
  const body = chatBodyOfMessages(readBody(request.body));
  resolveModel(context, body);
  return { input_tokens: (await renderChat(body, context)).tokenIds.length };
}

async function* streamed(run: ChatRun): AsyncGenerator<MessagesEvent> {
  let last: BlockUpdate | undefined;
  for await (const update of blockUpdates(run)) {
    if (last === undefined)
      yield {
        type: 'message_start',
        message: message(run, [], undefined, { ...update.usage, completionTokens: 0 }),
      };
    last = update;
    for (const event of update.events) yield blockEvent(event);
  }
  if (last === undefined) return;
  yield {
    type: 'message_delta',
    delta: stopFields(last.finish, last.blocks),
    usage: usageFields(last.usage),
  };
  yield { type: 'message_stop' };
}

function blockEvent({ kind, block, text }: BlockEvent): MessagesEvent {
  const { index } = block;
  switch (kind) {
    case 'open':
      return { type: 'content_block_start', index, content_block: emptyBlock(block) };
    case 'delta':
      return { type: 'content_block_delta', index, delta: deltaOf(block, text) };
    case 'close':
      return { type: 'content_block_stop', index };
  }
}

function deltaOf({ kind }: OutputBlock, text: string) {
  switch (kind) {
    case 'content':
      return { type: 'text_delta', text };
    case 'reasoning':
      return { type: 'thinking_delta', thinking: text };
    case 'call':
      return { type: 'input_json_delta', partial_json: text };
  }
}

function message(
  { head: { id, model } }: ChatRun,
  blocks: readonly OutputBlock[],
  finish: ChoiceFinish | undefined,
  usage: GenerationUsage,
) {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: blocks.map(wholeBlock),
    ...stopFields(finish, blocks),
    usage: usageFields(usage),
  };
}

function emptyBlock(block: OutputBlock) {
  return block.kind === 'call'
    ? { type: 'tool_use', id: block.callId, name: block.name, input: {} }
    : wholeBlock({ ...block, text: '' });
}

function wholeBlock({ kind, callId, name, text }: OutputBlock) {
  switch (kind) {
    case 'content':
      return { type: 'text', text };
    case 'reasoning':
      return { type: 'thinking', thinking: text, signature: '' };
    case 'call':
      return { type: 'tool_use', id: callId, name, input: parsed(text) };
  }
}

/** Arguments that were cut off are not JSON: they are kept as the model wrote them. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text === '' ? '{}' : text);
  } catch {
    return { unfinished: text };
  }
}

function stopFields(finish: ChoiceFinish | undefined, blocks: readonly OutputBlock[]) {
  const sequence = typeof finish?.stopReason === 'string' ? finish.stopReason : null;
  return { stop_reason: stopReason(), stop_sequence: sequence };

  function stopReason(): string | null {
    if (finish === undefined) return null;
    if (finish.reason === 'length') return 'max_tokens';
    if (sequence !== null) return 'stop_sequence';
    return blocks.some(({ kind }) => kind === 'call') ? 'tool_use' : 'end_turn';
  }
}

const noUsage: GenerationUsage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };

/** Anthropic counts cached tokens beside the others, not among them. */
function usageFields({ promptTokens, cachedTokens, completionTokens }: GenerationUsage) {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
  };
}
