import type { FastifyReply, FastifyRequest } from 'fastify';
import type { OutputEvent } from '../output-parsers/index.ts';
import { ChoiceOutput, chatMessage, deltaOf } from './chat-output.ts';
import type { ChatRun } from './chat-run.ts';
import { startChat } from './chat-run.ts';
import { chatLogprobs, promptLogprobs, scorePrompt, tokenNames } from './logprobs.ts';
import { readBody } from './request-fields.ts';
import type { ChoiceDelta, GenerationUpdate, GenerationUsage } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { clientGone } from './server-context.ts';
import { plainStream, streamEvents } from './stream-events.ts';
import { usageBody } from './usage.ts';

/** `POST /v1/chat/completions` */
export async function chatCompletions(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const run = await startChat(
    context,
    readBody(request.body),
    { request, stop: clientGone(reply) },
    { idPrefix: 'chatcmpl-', promptField: 'messages' },
  );
  if (!run.options.isStream) return wholeAnswer(context, run);
  return streamEvents(reply, run.signal, chunks(context, run), plainStream);
}

async function wholeAnswer(
  { tokenizer }: ServerContext,
  { head, options, output, logprobs, promptTokens, promptText, echo, updates }: ChatRun,
) {
  const nameOf = tokenNames(tokenizer, options.namesTokensById);
  let ofPrompt: GenerationUpdate['promptLogprobs'];
  const choices = Array.from({ length: options.choices }, () => ({
    sorted: new ChoiceOutput(output),
    events: (echo === '' ? [] : [{ kind: 'content', text: echo }]) as OutputEvent[],
    outputs: [] as ChoiceDelta['outputs'][number][],
    finish: undefined as ChoiceDelta['finish'],
  }));
  let usage: GenerationUsage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for await (const update of updates) {
    usage = update.usage;
    ofPrompt ??= update.promptLogprobs;
    for (const delta of update.deltas) {
      const { choice, outputs, finish } = delta;
      const whole = choices[choice]!;
      whole.events.push(...whole.sorted.push(delta));
      if (logprobs !== undefined || options.returnsTokenIds) whole.outputs.push(...outputs);
      whole.finish = finish;
    }
  }
  return {
    ...head,
    object: 'chat.completion',
    choices: choices.map(({ sorted, events, outputs, finish }, index) => ({
      index,
      message: chatMessage(output, events),
      logprobs: logprobs === undefined ? null : chatLogprobs(tokenizer, nameOf, outputs, logprobs),
      finish_reason: sorted.finishReason(finish) ?? 'abort',
      stop_reason: finish?.stopReason ?? null,
      ...(options.returnsTokenIds ? { token_ids: idsOf(outputs) } : {}),
    })),
    service_tier: null,
    system_fingerprint: null,
    usage: usageBody([usage], reasoningTokens(choices.map(({ sorted }) => sorted))),
    prompt_logprobs: ofPrompt ? promptLogprobs(nameOf, scorePrompt(promptTokens, ofPrompt)) : null,
    prompt_token_ids: options.returnsTokenIds ? promptTokens : null,
    ...(options.returnsPromptText ? { prompt_text: promptText } : {}),
    // There is no other engine to take blocks from: what was asked for is done here.
    kv_transfer_params: null,
  };
}

/** Of all choices; undefined if they are not counted. */
function reasoningTokens(choices: readonly ChoiceOutput[]): number | undefined {
  const counts = choices.map((choice) => choice.reasoningTokens).filter((count) => count !== undefined);
  return counts.length === 0 ? undefined : counts.reduce((sum, count) => sum + count, 0);
}

function idsOf(outputs: ChoiceDelta['outputs']): readonly number[] {
  return outputs.map(({ tokenId }) => tokenId);
}

/** Per choice: its role, its text as it comes, its end; then the usage, if asked for. */
async function* chunks(
  { tokenizer }: ServerContext,
  { head, options, output, logprobs, promptTokens, promptText, echo, updates }: ChatRun,
): AsyncGenerator<unknown> {
  const nameOf = tokenNames(tokenizer, options.namesTokensById);
  const choices = new Map<number, ChoiceOutput>();
  let latest: GenerationUsage | undefined;
  const chunk = (choice: object, usage: GenerationUsage) => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [choice],
    ...(options.includesUsageInEveryChunk
      ? { usage: usageBody([usage], reasoningTokens([...choices.values()])) }
      : {}),
  });
  for await (const { deltas, usage } of updates) {
    latest = usage;
    for (const next of deltas) {
      const { choice: index, outputs, finish } = next;
      let choice = choices.get(index);
      if (choice === undefined) {
        choice = new ChoiceOutput(output);
        choices.set(index, choice);
        const delta = { role: 'assistant', content: '' };
        const isVeryFirst = choices.size === 1;
        yield {
          ...chunk({ index, delta, logprobs: null, finish_reason: null }, usage),
          ...(isVeryFirst && options.returnsTokenIds ? { prompt_token_ids: promptTokens } : {}),
          ...(isVeryFirst && options.returnsPromptText ? { prompt_text: promptText } : {}),
        };
        if (echo !== '')
          yield chunk({ index, delta: { content: echo }, logprobs: null, finish_reason: null }, usage);
      }
      const events = choice.push(next).map((event) => deltaOf(output, event));
      // The end needs a chunk, and log-probabilities do, even if there is nothing to show.
      if (events.length === 0 && finish !== undefined) events.push({});
      const showsTokens = logprobs !== undefined || options.returnsTokenIds;
      if (events.length === 0 && showsTokens) events.push({ content: '' });
      for (const [i, delta] of events.entries()) {
        const isLast = i === events.length - 1 && finish !== undefined;
        yield chunk(
          {
            index,
            delta,
            logprobs:
              logprobs === undefined || i > 0 ? null : chatLogprobs(tokenizer, nameOf, outputs, logprobs),
            finish_reason: isLast ? choice.finishReason(finish) : null,
            ...(isLast ? { stop_reason: finish.stopReason ?? null } : {}),
            ...(options.returnsTokenIds ? { token_ids: i > 0 ? [] : idsOf(outputs) } : {}),
          },
          usage,
        );
      }
    }
  }
  if (options.includesUsage && latest !== undefined)
    yield {
      ...head,
      object: 'chat.completion.chunk',
      choices: [],
      usage: usageBody([latest], reasoningTokens([...choices.values()])),
    };
}
