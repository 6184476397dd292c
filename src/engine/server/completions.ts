import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ChoiceFinish } from './choice-text.ts';
import type { CompletionFields } from './completion-request.ts';
import { readCompletionFields } from './completion-request.ts';
import type { GenerationOptions } from './generation-options.ts';
import { readGenerationOptions } from './generation-options.ts';
import type { ScoredToken } from './logprobs.ts';
import { completionLogprobs, promptLogprobs, scorePrompt, tokenNames } from './logprobs.ts';
import { mergeIndexed } from './merge-updates.ts';
import { resolveMaxTokens } from './prompt-length.ts';
import { readBody } from './request-fields.ts';
import type { GenerationRequest, GenerationUpdate, GenerationUsage } from './run-generation.ts';
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
  const options = readGenerationOptions(body, limits, body['echo'] === true ? 0 : 1);
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
  // An echoed prompt has log-probabilities as its continuation has.
  const ofEcho = fields.isEcho ? fields.logprobs : undefined;
  const asked = options.sampling.promptLogprobs;
  const promptLogprobs = ofEcho === undefined ? asked : Math.max(ofEcho, asked ?? 0);
  const answer = {
    ...fields,
    head: { id: answerId('cmpl-', request), created: nowSeconds(), model },
    options,
  };
  const updates = mergeIndexed(
    fields.prompts.map(({ tokenIds }, i) =>
      runPrompt(
        context,
        {
          promptTokens: tokenIds,
          options: { ...options, sampling: { ...options.sampling, promptLogprobs } },
          maxTokens: maxTokens[i]!,
          logprobs: fields.logprobs,
          adapter,
        },
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

/** With a limit of 0 tokens the prompt is computed, as for one token, and nothing is said. */
function runPrompt(
  context: ServerContext,
  request: GenerationRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationUpdate> {
  if (request.maxTokens > 0) return runGeneration(context, request, signal);
  return silenced(runGeneration(context, { ...request, maxTokens: 1 }, signal));
}

async function* silenced(updates: AsyncIterable<GenerationUpdate>): AsyncGenerator<GenerationUpdate> {
  for await (const update of updates)
    yield {
      ...update,
      deltas: update.deltas.map(({ choice }) => ({ choice, text: '', outputs: [], finish: endOfPrompt })),
      usage: { ...update.usage, completionTokens: 0 },
    };
}

const endOfPrompt: ChoiceFinish = { reason: 'length', stopReason: undefined };

async function wholeAnswer(context: ServerContext, answer: CompletionAnswer, updates: Updates) {
  const { head, options, prompts, isEcho, logprobs } = answer;
  const nameOf = tokenNames(context.tokenizer, options.namesTokensById);
  const choices = prompts.flatMap(({ text }) =>
    Array.from({ length: options.choices }, () => ({
      text: isEcho ? text : '',
      outputs: [] as ScoredToken[],
      finish: undefined as ChoiceFinish | undefined,
    })),
  );
  const usages = new Map<number, GenerationUsage>();
  const scored = new Map<number, readonly ScoredToken[]>();
  for await (const [prompt, { deltas, usage, promptLogprobs }] of updates) {
    usages.set(prompt, usage);
    if (promptLogprobs !== undefined)
      scored.set(prompt, scorePrompt(prompts[prompt]!.tokenIds, promptLogprobs));
    for (const { choice, text, outputs, finish } of deltas) {
      const whole = choices[prompt * options.choices + choice]!;
      whole.text += text;
      if (logprobs !== undefined || options.returnsTokenIds) whole.outputs.push(...outputs);
      whole.finish = finish;
    }
  }
  return {
    ...head,
    object: 'text_completion',
    choices: choices.map(({ text, outputs, finish }, index) => {
      const prompt = Math.floor(index / options.choices);
      const ofPrompt = scored.get(prompt) ?? [];
      return {
        index,
        text,
        logprobs:
          logprobs === undefined
            ? null
            : completionLogprobs(nameOf, isEcho ? [...ofPrompt, ...outputs] : outputs, 0),
        finish_reason: finish?.reason ?? 'abort',
        stop_reason: finish?.stopReason ?? null,
        ...(options.sampling.promptLogprobs === undefined
          ? {}
          : { prompt_logprobs: promptLogprobs(nameOf, ofPrompt) }),
        ...(options.returnsTokenIds
          ? { prompt_token_ids: prompts[prompt]!.tokenIds, token_ids: outputs.map(({ tokenId }) => tokenId) }
          : {}),
      };
    }),
    service_tier: null,
    system_fingerprint: null,
    usage: usageBody([...usages.values()]),
    kv_transfer_params: null,
  };
}

async function* chunks(
  context: ServerContext,
  answer: CompletionAnswer,
  updates: Updates,
): AsyncGenerator<unknown> {
  const { head, options, prompts, isEcho, logprobs } = answer;
  const nameOf = tokenNames(context.tokenizer, options.namesTokensById);
  const showsTokens = logprobs !== undefined || options.returnsTokenIds;
  const usages = new Map<number, GenerationUsage>();
  /** Where the next token of a choice begins: after the tokens so far, though some of their text may be held back. */
  const offsets = new Map<number, number>();
  const scored = new Map<number, readonly ScoredToken[]>();
  for await (const [prompt, { deltas, usage, promptLogprobs }] of updates) {
    usages.set(prompt, usage);
    if (promptLogprobs !== undefined)
      scored.set(prompt, scorePrompt(prompts[prompt]!.tokenIds, promptLogprobs));
    for (const { choice, text, outputs, finish } of deltas) {
      const index = prompt * options.choices + choice;
      const isFirst = !offsets.has(index);
      const echo = isEcho && isFirst ? prompts[prompt]!.text : '';
      const echoed = isEcho && isFirst ? (scored.get(prompt) ?? []) : [];
      const offset = offsets.get(index) ?? 0;
      const shown =
        logprobs === undefined ? null : completionLogprobs(nameOf, [...echoed, ...outputs], offset);
      offsets.set(index, offset + (shown?.tokens.join('').length ?? 0));
      if (echo + text === '' && finish === undefined && !showsTokens) continue;
      yield {
        ...head,
        object: 'text_completion',
        choices: [
          {
            index,
            text: echo + text,
            logprobs: shown,
            finish_reason: finish?.reason ?? null,
            stop_reason: finish?.stopReason ?? null,
            ...(options.returnsTokenIds ? { token_ids: outputs.map(({ tokenId }) => tokenId) } : {}),
            ...(options.returnsTokenIds && isFirst ? { prompt_token_ids: prompts[prompt]!.tokenIds } : {}),
          },
        ],
        ...(options.includesUsageInEveryChunk ? { usage: usageBody([...usages.values()]) } : {}),
      };
    }
  }
  if (options.includesUsage)
    yield { ...head, object: 'text_completion', choices: [], usage: usageBody([...usages.values()]) };
}
