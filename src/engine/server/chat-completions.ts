import type { FastifyReply, FastifyRequest } from 'fastify';
import { readChatLogprobs, renderChat } from './chat-request.ts';
import type { GenerationOptions } from './generation-options.ts';
import { readGenerationOptions } from './generation-options.ts';
import { chatLogprobs } from './logprobs.ts';
import { resolveMaxTokens } from './prompt-length.ts';
import { readBody } from './request-fields.ts';
import type { ChoiceDelta, GenerationUpdate, GenerationUsage } from './run-generation.ts';
import { runGeneration } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { answerId, clientGone, nowSeconds, resolveModel } from './server-context.ts';
import { streamEvents } from './stream-events.ts';
import { usageBody } from './usage.ts';

/** What all parts of one answer share. */
interface ChatAnswer {
  readonly head: { readonly id: string; readonly created: number; readonly model: string };
  readonly options: GenerationOptions;
  readonly logprobs: number | undefined;
}

/** `POST /v1/chat/completions` */
export async function chatCompletions(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = readBody(request.body);
  const model = resolveModel(context, body);
  const options = readGenerationOptions(body, context.limits);
  const logprobs = readChatLogprobs(body, context.limits.maxLogprobs);
  const { tokenIds } = renderChat(body, context);
  const maxTokens = resolveMaxTokens({
    promptTokens: tokenIds.length,
    requested: options.maxTokens,
    promptField: 'messages',
    maxTokensField: options.maxTokensField,
    maxModelLen: context.engine.info.maxModelLen,
    fallback: context.limits.defaults.maxTokens,
  });
  const answer: ChatAnswer = {
    head: { id: answerId('chatcmpl', request), created: nowSeconds(), model },
    options,
    logprobs,
  };
  const client = clientGone(reply);
  const updates = runGeneration(
    context,
    { promptTokens: tokenIds, options, maxTokens, logprobs },
    client.signal,
  );
  if (!options.isStream) return wholeAnswer(context, answer, updates);
  return streamEvents(reply, client.signal, chunks(context, answer, updates));
}

async function wholeAnswer(
  { tokenizer }: ServerContext,
  { head, options, logprobs }: ChatAnswer,
  updates: AsyncIterable<GenerationUpdate>,
) {
  const choices = Array.from({ length: options.choices }, () => ({
    text: '',
    outputs: [] as ChoiceDelta['outputs'][number][],
    finish: undefined as ChoiceDelta['finish'],
  }));
  let usage: GenerationUsage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for await (const update of updates) {
    usage = update.usage;
    for (const { choice, text, outputs, finish } of update.deltas) {
      const whole = choices[choice]!;
      whole.text += text;
      if (logprobs !== undefined) whole.outputs.push(...outputs);
      whole.finish = finish;
    }
  }
  return {
    ...head,
    object: 'chat.completion',
    choices: choices.map(({ text, outputs, finish }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null, tool_calls: [] },
      logprobs: logprobs === undefined ? null : chatLogprobs(tokenizer, outputs, logprobs),
      finish_reason: finish?.reason ?? 'abort',
      stop_reason: finish?.stopReason ?? null,
    })),
    usage: usageBody([usage]),
  };
}

/** Per choice: its role, its text as it comes, its end; then the usage, if asked for. */
async function* chunks(
  { tokenizer }: ServerContext,
  { head, options, logprobs }: ChatAnswer,
  updates: AsyncIterable<GenerationUpdate>,
): AsyncGenerator<unknown> {
  const begun = new Set<number>();
  let latest: GenerationUsage | undefined;
  const chunk = (choice: object, usage: GenerationUsage) => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [choice],
    ...(options.includesUsageInEveryChunk ? { usage: usageBody([usage]) } : {}),
  });
  for await (const { deltas, usage } of updates) {
    latest = usage;
    for (const { choice: index, text, outputs, finish } of deltas) {
      if (!begun.has(index)) {
        begun.add(index);
        const delta = { role: 'assistant', content: '' };
        yield chunk({ index, delta, logprobs: null, finish_reason: null }, usage);
      }
      if (text === '' && finish === undefined && logprobs === undefined) continue;
      yield chunk(
        {
          index,
          delta: text === '' && finish !== undefined ? {} : { content: text },
          logprobs: logprobs === undefined ? null : chatLogprobs(tokenizer, outputs, logprobs),
          finish_reason: finish?.reason ?? null,
          ...(finish === undefined ? {} : { stop_reason: finish.stopReason ?? null }),
        },
        usage,
      );
    }
  }
  if (options.includesUsage && latest !== undefined)
    yield { ...head, object: 'chat.completion.chunk', choices: [], usage: usageBody([latest]) };
}
