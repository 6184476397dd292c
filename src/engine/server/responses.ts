import type { FastifyReply, FastifyRequest } from 'fastify';
import { BackgroundResponse } from './background-response.ts';
import { blockUpdates } from './block-updates.ts';
import type { ChatRun } from './chat-run.ts';
import { startChat } from './chat-run.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, readBody, readBoolean, readString } from './request-fields.ts';
import { responseEvents } from './response-events.ts';
import { ResponseState } from './response-state.ts';
import { chatBodyOfResponses, conversationOf } from './responses-request.ts';
import type { ServerContext } from './server-context.ts';
import { clientGone } from './server-context.ts';
import type { StoredResponse, StoredResponses } from './stored-responses.ts';
import { messageOfBlocks } from './stored-responses.ts';
import { namedStream, streamEvents } from './stream-events.ts';

const fieldNames = {
  max_completion_tokens: 'max_output_tokens',
  reasoning_effort: 'reasoning.effort',
  'response_format.json_schema': 'text.format',
  response_format: 'text.format',
};

/** `POST /v1/responses`, as OpenAI's API: https://platform.openai.com/docs/api-reference/responses */
export async function responses(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = readBody(request.body);
  const earlier = earlierMessages(context, body);
  const store = storeOf(context, body);
  const background = readBackground(body, store);
  const stop = background === undefined ? clientGone(reply) : new AbortController();
  const run = await startChat(
    context,
    chatBodyOfResponses(body, earlier),
    { request, stop },
    { idPrefix: 'resp_', promptField: 'input', fieldNames },
  );
  const state = new ResponseState(run, body, {
    isStored: store !== undefined,
    isBackground: background !== undefined,
  });
  const stored = (): StoredResponse => ({
    response: state.object,
    messages: [...conversationOf(body, earlier), messageOfBlocks(state.last?.blocks ?? [])],
  });
  if (background !== undefined)
    return answerInBackground(background, { context, reply, run, state, stop, stored });
  const keep = () => {
    if (state.last?.finish !== undefined) store?.keep(run.head.id, stored());
  };
  if (run.options.isStream)
    return streamEvents(
      reply,
      run.signal,
      followedBy(responseEvents(run, state), keep),
      namedStream('openai-responses'),
    );
  for await (const update of blockUpdates(run)) state.update(update);
  keep();
  return state.object;
}

interface BackgroundRun {
  readonly context: ServerContext;
  readonly reply: FastifyReply;
  readonly run: ChatRun;
  readonly state: ResponseState;
  readonly stop: AbortController;
  readonly stored: () => StoredResponse;
}

/** The answer is what there is of it now, or a stream of it that the client may leave. */
function answerInBackground(
  store: StoredResponses,
  { context, reply, run, state, stop, stored }: BackgroundRun,
): unknown {
  const { isStream } = run.options;
  const response = new BackgroundResponse(state, stop, isStream);
  context.load++;
  const done = response.run(responseEvents(run, state)).then(() => {
    context.load--;
    return { ...stored(), events: response.events };
  });
  store.begin(run.head.id, response, done);
  if (!isStream) return response.object;
  const { signal } = clientGone(reply);
  return streamEvents(reply, signal, response.follow(-1, signal), namedStream('openai-responses'));
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

/** Where the answer is to be stored; undefined if nowhere. */
function storeOf({ responses: stored }: ServerContext, body: RequestBody): StoredResponses | undefined {
  return readBoolean(body, 'store', true) ? stored : undefined;
}

/** Where an answer in the background is to be had; undefined if the client waits for it. */
function readBackground(body: RequestBody, store: StoredResponses | undefined): StoredResponses | undefined {
  if (!readBoolean(body, 'background', false)) return undefined;
  if (store !== undefined) return store;
  throw invalid(
    'Only a response that is stored can be made in the background: start the engine with --enable-responses-store, and leave "store" true.',
    'background',
  );
}

async function* followedBy<Event>(events: AsyncIterable<Event>, last: () => void): AsyncGenerator<Event> {
  yield* events;
  last();
}
