import type { FastifyRequest } from 'fastify';
import { countCharacters } from '../../tokenizer/index.ts';
import type { ChatOutput } from './chat-output.ts';
import { readChatOutput } from './chat-output.ts';
import { readChatLogprobs, readEcho, renderChat } from './chat-request.ts';
import { inWordsOf } from './field-names.ts';
import type { GenerationOptions } from './generation-options.ts';
import { readGenerationOptions } from './generation-options.ts';
import type { LengthRequest } from './prompt-length.ts';
import { checkCharacters, resolveMaxTokens } from './prompt-length.ts';
import { readTruncation } from './prompt-truncation.ts';
import { reasoningMarks } from './reasoning-count.ts';
import type { RequestBody } from './request-fields.ts';
import type { GenerationUpdate } from './run-generation.ts';
import { runGeneration } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { adapterOf, answerId, nowSeconds, resolveModel } from './server-context.ts';

/** A chat under way, whatever API asked for it. */
export interface ChatRun {
  readonly head: { readonly id: string; readonly created: number; readonly model: string };
  readonly options: GenerationOptions;
  readonly output: ChatOutput;
  readonly logprobs: number | undefined;
  readonly promptTokens: readonly number[];
  /** What the template made of the messages. */
  readonly promptText: string;
  /** Content that every answer begins with. */
  readonly echo: string;
  /** Fires when the chat is to end early. */
  readonly signal: AbortSignal;
  readonly updates: AsyncIterable<GenerationUpdate>;
}

/** Who asks, and what ends the chat early. */
export interface ChatClient {
  readonly request: FastifyRequest;
  /** Fires when the client has gone, or wants no more. */
  readonly stop: AbortController;
}

/** How the API names things, in ids and in errors. */
export interface ChatDialect {
  readonly idPrefix: string;
  readonly promptField: LengthRequest['promptField'];
  /** What it calls fields of `/v1/chat/completions`, parts of them first; absent: as they are. */
  readonly fieldNames?: Readonly<Record<string, string>>;
}

/** Starts a chat from the fields of `/v1/chat/completions`. Rejects with a `ServiceError` if one is wrong. */
export async function startChat(
  context: ServerContext,
  body: RequestBody,
  client: ChatClient,
  dialect: ChatDialect,
): Promise<ChatRun> {
  try {
    return await startRun(context, body, client, dialect);
  } catch (error) {
    throw inWordsOf(dialect.fieldNames ?? {}, error);
  }
}

async function startRun(
  context: ServerContext,
  body: RequestBody,
  { request, stop }: ChatClient,
  { idPrefix, promptField }: ChatDialect,
): Promise<ChatRun> {
  const { engine, tokenizer, limits } = context;
  const model = resolveModel(context, body);
  const given = readGenerationOptions(body, limits);
  const logprobs = readChatLogprobs(body, limits.maxLogprobs);
  const { maxModelLen } = engine.info;
  const { maxTokenCharacters } = tokenizer;
  checkCharacters(countCharacters(body['messages']), promptField, { maxModelLen, maxTokenCharacters });
  const cut = readTruncation(body, { most: maxModelLen - Math.max(1, given.maxTokens ?? 1), side: 'left' });
  const rendered = await renderChat(body, context);
  const { text: prompt } = rendered;
  const tokenIds = cut(rendered.tokenIds);
  const output = readChatOutput(body, {
    formats: context.outputFormats,
    prompt,
    reasoningMarks: context.outputFormats.reasoning && reasoningMarks(tokenizer),
    constraint: given.sampling.constraint,
  });
  const options = {
    ...given,
    sampling: { ...given.sampling, constraint: output.constraint },
    skipsSpecialTokens: given.skipsSpecialTokens && !output.needsSpecialTokens,
  };
  const maxTokens = resolveMaxTokens({
    promptTokens: tokenIds.length,
    requested: options.maxTokens,
    promptField,
    maxTokensField: options.maxTokensField,
    maxModelLen,
    fallback: limits.defaults.maxTokens,
  });
  return {
    head: { id: answerId(idPrefix, request), created: nowSeconds(), model },
    options,
    output,
    logprobs,
    promptTokens: tokenIds,
    promptText: prompt,
    echo: readEcho(body),
    signal: stop.signal,
    updates: runGeneration(
      context,
      { promptTokens: tokenIds, options, maxTokens, logprobs, adapter: adapterOf(context, model) },
      stop.signal,
    ),
  };
}
