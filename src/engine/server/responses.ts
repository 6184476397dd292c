import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BlockUpdate } from './block-updates.ts';
import { blockUpdates, lastUpdate } from './block-updates.ts';
import type { ChatRun } from './chat-run.ts';
import { startChat } from './chat-run.ts';
import type { BlockEvent, OutputBlock } from './output-blocks.ts';
import type { RequestBody } from './request-fields.ts';
import { readBody } from './request-fields.ts';
import { outputItem, outputPart } from './responses-items.ts';
import { chatBodyOfResponses } from './responses-request.ts';
import type { GenerationUsage } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { namedStream, streamEvents } from './stream-events.ts';

type ResponsesEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** `POST /v1/responses`, as OpenAI's API: https://platform.openai.com/docs/api-reference/responses */
export async function responses(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = readBody(request.body);
  const run = await startChat(
    context,
    chatBodyOfResponses(body),
    { request, reply },
    { idPrefix: 'resp_', promptField: 'input', maxTokensField: 'max_output_tokens' },
  );
  if (run.options.isStream)
    return streamEvents(reply, run.signal, numbered(streamed(run, body)), namedStream('openai-responses'));
  return response(run, body, await lastUpdate(blockUpdates(run)));
}

async function* numbered(events: AsyncIterable<ResponsesEvent>): AsyncGenerator<ResponsesEvent> {
  let next = 0;
  for await (const event of events) yield { ...event, sequence_number: next++ };
}

async function* streamed(run: ChatRun, body: RequestBody): AsyncGenerator<ResponsesEvent> {
  let last: BlockUpdate | undefined;
  for await (const update of blockUpdates(run)) {
    if (last === undefined) {
      const begun = response(run, body, undefined);
      yield { type: 'response.created', response: begun };
      yield { type: 'response.in_progress', response: begun };
    }
    last = update;
    for (const event of update.events) yield* blockEvents(run, event);
  }
  if (last === undefined) return;
  const ended = response(run, body, last);
  yield { type: `response.${ended.status}`, response: ended };
}

/** The names of the events by kind of block. */
const deltaNames = {
  content: 'response.output_text',
  reasoning: 'response.reasoning_text',
  call: 'response.function_call_arguments',
} as const;

function* blockEvents(run: ChatRun, { kind, block, text }: BlockEvent): Generator<ResponsesEvent> {
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

/** The response as it is now; without an update it has just begun. */
function response({ head, output, options }: ChatRun, body: RequestBody, update: BlockUpdate | undefined) {
  const isCut = update?.finish?.reason === 'length';
  const status = update?.finish === undefined ? 'in_progress' : isCut ? 'incomplete' : 'completed';
  return {
    id: head.id,
    object: 'response',
    created_at: head.created,
    status,
    background: false,
    error: null,
    incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
    instructions: body['instructions'] ?? null,
    max_output_tokens: body['max_output_tokens'] ?? null,
    metadata: body['metadata'] ?? {},
    model: head.model,
    output: (update?.blocks ?? []).map((block, i, { length }) =>
      outputItem(head.id, block, isCut && i === length - 1 ? 'incomplete' : 'completed'),
    ),
    parallel_tool_calls: output.allowsSeveralCalls,
    previous_response_id: null,
    reasoning: body['reasoning'] ?? { effort: null, summary: null },
    store: false,
    temperature: options.sampling.temperature,
    text: body['text'] ?? { format: { type: 'text' } },
    tool_choice: body['tool_choice'] ?? 'auto',
    tools: body['tools'] ?? [],
    top_p: options.sampling.topP,
    truncation: 'disabled',
    usage: update?.finish === undefined ? null : usageFields(update.usage, update.reasoningTokens),
    user: body['user'] ?? null,
  };
}

function usageFields({ promptTokens, cachedTokens, completionTokens }: GenerationUsage, reasoningTokens = 0) {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}
