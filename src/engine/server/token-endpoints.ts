import type { FastifyReply, FastifyRequest } from 'fastify';
import { renderChat } from './chat-request.ts';
import { readCompletionFields } from './completion-request.ts';
import { readGenerationOptions } from './generation-options.ts';
import { resolveMaxTokens } from './prompt-length.ts';
import { invalid, readBody, readObject, readTokenIds } from './request-fields.ts';
import type { ChoiceDelta, GenerationUpdate } from './run-generation.ts';
import { runGeneration } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { adapterOf, answerId, clientGone, resolveModel } from './server-context.ts';
import { plainStream, streamEvents } from './stream-events.ts';

/** `POST /v1/completions/render`: the tokens of each prompt, and nothing is generated. */
export async function renderCompletion(context: ServerContext, request: FastifyRequest) {
  const body = readBody(request.body);
  resolveModel(context, body);
  const { maxModelLen } = context.engine.info;
  const { prompts } = await readCompletionFields(body, context, { ...context.limits, maxModelLen });
  return prompts.map(({ tokenIds }) => ({ token_ids: tokenIds }));
}

/** `POST /v1/chat/completions/render`: the tokens that the template makes of the messages. */
export async function renderMessages(context: ServerContext, request: FastifyRequest) {
  const body = readBody(request.body);
  resolveModel(context, body);
  return { token_ids: (await renderChat(body, context)).tokenIds };
}

/** `POST /inference/v1/generate`: tokens in, tokens out; `sampling_params` as fields of a completion. */
export async function generateTokens(context: ServerContext, request: FastifyRequest, reply: FastifyReply) {
  const body = readBody(request.body);
  const model = resolveModel(context, body);
  const { engine, limits } = context;
  const { stream, stream_options, priority, cache_salt } = body;
  const options = readGenerationOptions(
    { ...readObject(body, 'sampling_params'), stream, stream_options, priority, cache_salt },
    limits,
  );
  const promptTokens = readTokenIds(body, 'token_ids', limits.vocabSize);
  if (promptTokens === undefined) throw invalid('token_ids is required: a list of token ids.', 'token_ids');
  const maxTokens = resolveMaxTokens({
    promptTokens: promptTokens.length,
    requested: options.maxTokens,
    promptField: 'prompt',
    maxTokensField: 'sampling_params',
    maxModelLen: engine.info.maxModelLen,
    fallback: limits.defaults.maxTokens,
  });
  const client = clientGone(reply);
  const adapter = adapterOf(context, model);
  const asked = { promptTokens, options, maxTokens, logprobs: undefined, adapter };
  const updates = runGeneration(context, asked, client.signal);
  const head = { request_id: answerId('generate-tokens-', request) };
  if (options.isStream) return streamEvents(reply, client.signal, chunks(head, updates), plainStream);
  const tokens = Array.from({ length: options.choices }, () => [] as number[]);
  const reasons = new Map<number, string>();
  for await (const { deltas } of updates)
    for (const delta of deltas) {
      tokens[delta.choice]!.push(...idsOf(delta));
      if (delta.finish !== undefined) reasons.set(delta.choice, delta.finish.reason);
    }
  const choices = tokens.map((token_ids, index) => ({
    index,
    logprobs: null,
    finish_reason: reasons.get(index) ?? 'abort',
    token_ids,
  }));
  return { ...head, choices, prompt_logprobs: null, kv_transfer_params: null };
}

async function* chunks(head: object, updates: AsyncIterable<GenerationUpdate>): AsyncGenerator<unknown> {
  for await (const { deltas } of updates)
    for (const delta of deltas) {
      const finish_reason = delta.finish?.reason ?? null;
      const choice = { index: delta.choice, logprobs: null, finish_reason, token_ids: idsOf(delta) };
      yield { ...head, choices: [choice] };
    }
}

function idsOf({ outputs }: ChoiceDelta): number[] {
  return outputs.map(({ tokenId }) => tokenId);
}
