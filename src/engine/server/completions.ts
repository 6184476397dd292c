import type { FastifyReply, FastifyRequest } from 'fastify';
import type { StepOutput } from '../step-output.ts';
import type { ChoiceFinish } from './choice-text.ts';
import type { CompletionFields } from './completion-request.ts';
import { readCompletionFields } from './completion-request.ts';
import type { GenerationOptions } from './generation-options.ts';
import { readGenerationOptions } from './generation-options.ts';
import { completionLogprobs } from './logprobs.ts';
import { mergeIndexed } from './merge-updates.ts';
import { resolveMaxTokens } from './prompt-length.ts';
import { readBody } from './request-fields.ts';
import type { GenerationUpdate, GenerationUsage } from './run-generation.ts';
import { runGeneration } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { adapterOf, answerId, clientGone, nowSeconds, resolveModel } from './server-context.ts';
import { plainStream, streamEvents } from './stream-events.ts';
import { usageBody } from './usage.ts';

/** OpenAI's default for completions. */
const defaultMaxTokens = 16;

interface CompletionAnswer extends CompletionFields {
  readonly head: { readonly id: string; readonly created: number; readonly model: string };
  readonly options: GenerationOptions;
}

type Updates = AsyncIterable<readonly [prompt: number, update: GenerationUpdate]>;

/** `POST /v1/completions`. Choice `i` of prompt `p` has index `p * n + i`. */
export async function completions(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { engine, limits } = context;
  const body = readBody(request.body);
  const model = resolveModel(context, body);
  const adapter = adapterOf(context, model);
  const options = readGenerationOptions(body, limits);
  const client = clientGone(reply);
  const fields = await readCompletionFields(body, context, {
    ...limits,
    maxModelLen: engine.info.maxModelLen,
  });
  const maxTokens = fields.prompts.map(({ tokenIds }) =>
    resolveMaxTokens({
      promptTokens: tokenIds.length,
      requested: options.maxTokens,
      promptField: 'prompt',
      maxTokensField: options.maxTokensField,
      maxModelLen: engine.info.maxModelLen,
      fallback: limits.defaults.maxTokens ?? defaultMaxTokens,
    }),
  );
  const answer = {
    ...fields,
    head: { id: answerId('cmpl-', request), created: nowSeconds(), model },
    options,
  };
  const updates = mergeIndexed(
    fields.prompts.map(({ tokenIds }, i) =>
      runGeneration(
        context,
        { promptTokens: tokenIds, options, maxTokens: maxTokens[i]!, logprobs: fields.logprobs, adapter },
        client.signal,
      ),
    ),
  );
  try {
    if (!options.isStream) return await wholeAnswer(context, answer, updates);
    return await streamEvents(reply, client.signal, chunks(context, answer, updates), plainStream);
  } catch (error) {
    // One prompt failed: the others need not go on.
    client.abort();
    throw error;
  }
}

async function wholeAnswer(context: ServerContext, answer: CompletionAnswer, updates: Updates) {
  const { head, options, prompts, isEcho, logprobs } = answer;
  const choices = prompts.flatMap(({ text }) =>
    Array.from({ length: options.choices }, () => ({
      text: isEcho ? text : '',
      outputs: [] as StepOutput[],
      finish: undefined as ChoiceFinish | undefined,
    })),
  );
  const usages = new Map<number, GenerationUsage>();
  for await (const [prompt, { deltas, usage }] of updates) {
    usages.set(prompt, usage);
    for (const { choice, text, outputs, finish } of deltas) {
      const whole = choices[prompt * options.choices + choice]!;
      whole.text += text;
      if (logprobs !== undefined) whole.outputs.push(...outputs);
      whole.finish = finish;
    }
  }
  return {
    ...head,
    object: 'text_completion',
    choices: choices.map(({ text, outputs, finish }, index) => ({
      index,
      text,
      logprobs: logprobs === undefined ? null : completionLogprobs(context.tokenizer, outputs, 0),
      finish_reason: finish?.reason ?? 'abort',
      stop_reason: finish?.stopReason ?? null,
    })),
    usage: usageBody([...usages.values()]),
  };
}

async function* chunks(
  context: ServerContext,
  answer: CompletionAnswer,
  updates: Updates,
): AsyncGenerator<unknown> {
  const { head, options, prompts, isEcho, logprobs } = answer;
  const usages = new Map<number, GenerationUsage>();
  /** Characters sent per choice. */
  const offsets = new Map<number, number>();
  for await (const [prompt, { deltas, usage }] of updates) {
    usages.set(prompt, usage);
    for (const { choice, text, outputs, finish } of deltas) {
      const index = prompt * options.choices + choice;
      const echo = isEcho && !offsets.has(index) ? prompts[prompt]!.text : '';
      const offset = offsets.get(index) ?? 0;
      offsets.set(index, offset + text.length);
      if (echo + text === '' && finish === undefined && logprobs === undefined) continue;
      yield {
        ...head,
        object: 'text_completion',
        choices: [
          {
            index,
            text: echo + text,
            logprobs: logprobs === undefined ? null : completionLogprobs(context.tokenizer, outputs, offset),
            finish_reason: finish?.reason ?? null,
            stop_reason: finish?.stopReason ?? null,
          },
        ],
        ...(options.includesUsageInEveryChunk ? { usage: usageBody([...usages.values()]) } : {}),
      };
    }
  }
  if (options.includesUsage)
    yield { ...head, object: 'text_completion', choices: [], usage: usageBody([...usages.values()]) };
}
