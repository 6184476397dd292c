import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import type { BlockUpdate } from './block-updates.ts';
import { blockUpdates, lastUpdate } from './block-updates.ts';
import type { ChatRun } from './chat-run.ts';
import { startChat } from './chat-run.ts';
import type { BlockEvent, OutputBlock } from './output-blocks.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, readBody, readBoolean, readString } from './request-fields.ts';
import { outputItem, outputPart } from './responses-items.ts';
import { chatBodyOfResponses, conversationOf } from './responses-request.ts';
import type { GenerationUsage } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { messageOfBlocks } from './stored-responses.ts';
import { namedStream, streamEvents } from './stream-events.ts';

type ResponsesEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** `POST /v1/responses`, as OpenAI's API: https://platform.openai.com/docs/api-reference/responses */
export async function responses(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = readBody(request.body);
  const earlier = earlierMessages(context, body);
  const keep = keeper(context, body, earlier);
  const run = await startChat(
    context,
    chatBodyOfResponses(body, earlier),
    { request, reply },
    { idPrefix: 'resp_', promptField: 'input', maxTokensField: 'max_output_tokens' },
  );
  if (run.options.isStream)
    return streamEvents(
      reply,
      run.signal,
      numbered(streamed(run, body, keep)),
      namedStream('openai-responses'),
    );
  const last = await lastUpdate(blockUpdates(run));
  const answer = response(run, body, last, keep !== undefined);
  keep?.(run.head.id, answer, last);
  return answer;
}

/** The conversation that the request goes on with. Throws `not_found`. */
function earlierMessages({ responses: stored }: ServerContext, body: RequestBody): readonly RequestBody[] {
  const id = readString(body, 'previous_response_id');
  if (id === undefined) return [];
  if (stored === undefined)
    throw invalid(
      'This engine stores no responses: send the whole conversation in input, or start it with --enable-responses-store.',
      'previous_response_id',
    );
  return stored.get(id).messages;
}

type Keep = (id: string, response: object, update: BlockUpdate | undefined) => void;

/** Stores what was answered in full, unless the request says no; undefined if nothing is to be stored. */
function keeper(
  { responses: stored }: ServerContext,
  body: RequestBody,
  earlier: readonly RequestBody[],
): Keep | undefined {
  if (stored === undefined || !readBoolean(body, 'store', true)) return undefined;
  return (id, answer, update) => {
    if (update?.finish === undefined) return;
    const messages = [...conversationOf(body, earlier), messageOfBlocks(update.blocks)];
    stored.keep(id, { response: answer, messages });
  };
}

/** `GET` and `DELETE /v1/responses/{id}`, and `POST /v1/responses/{id}/cancel`, of stored responses. */
export function addResponseRoutes(app: FastifyInstance, { responses: stored }: ServerContext): void {
  type WithId = { Params: { id: string } };
  const find = () => {
    if (stored !== undefined) return stored;
    throw new ServiceError('not_found', 'This engine was started without --enable-responses-store.');
  };
  app.get<WithId>('/v1/responses/:id', async ({ params }) => find().get(params.id).response);
  app.delete<WithId>('/v1/responses/:id', async ({ params }) => {
    find().delete(params.id);
    return { id: params.id, object: 'response', deleted: true };
  });
  app.post<WithId>('/v1/responses/:id/cancel', async ({ params }) => {
    find().get(params.id);
    throw invalid('Cannot cancel a synchronous response.', 'response_id');
  });
}

async function* numbered(events: AsyncIterable<ResponsesEvent>): AsyncGenerator<ResponsesEvent> {
  let next = 0;
  for await (const event of events) yield { ...event, sequence_number: next++ };
}

async function* streamed(
  run: ChatRun,
  body: RequestBody,
  keep: Keep | undefined,
): AsyncGenerator<ResponsesEvent> {
  const isStored = keep !== undefined;
  let last: BlockUpdate | undefined;
  for await (const update of blockUpdates(run)) {
    if (last === undefined) {
      const begun = response(run, body, undefined, isStored);
      yield { type: 'response.created', response: begun };
      yield { type: 'response.in_progress', response: begun };
    }
    last = update;
    for (const event of update.events) yield* blockEvents(run, event);
  }
  if (last === undefined) return;
  const ended = response(run, body, last, isStored);
  keep?.(run.head.id, ended, last);
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
function response(
  { head, output, options }: ChatRun,
  body: RequestBody,
  update: BlockUpdate | undefined,
  isStored: boolean,
) {
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
    previous_response_id: body['previous_response_id'] ?? null,
    reasoning: body['reasoning'] ?? { effort: null, summary: null },
    store: isStored,
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
