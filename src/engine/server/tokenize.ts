import type { FastifyRequest } from 'fastify';
import { renderChat } from './chat-request.ts';
import { invalid, isGiven, readBody, readBoolean, readString, readTokenIds } from './request-fields.ts';
import type { ServerContext } from './server-context.ts';
import { resolveModel } from './server-context.ts';

/** `POST /tokenize`: a prompt or chat messages to token ids. */
export async function tokenize(context: ServerContext, request: FastifyRequest) {
  const { engine, prompts, tokenizer } = context;
  const body = readBody(request.body);
  resolveModel(context, body);
  const withStrings = readBoolean(body, 'return_token_strs', false);
  const tokens = isGiven(body, 'messages')
    ? (await renderChat(body, context)).tokenIds
    : await encodePrompt();
  return {
    count: tokens.length,
    max_model_len: engine.info.maxModelLen,
    tokens,
    token_strs: withStrings ? tokens.map((id) => tokenizer.tokenString(id) ?? '') : null,
  };

  function encodePrompt(): Promise<number[]> {
    const prompt = readString(body, 'prompt');
    if (prompt === undefined) throw invalid('prompt or messages is required.', 'prompt');
    return prompts.encode(prompt, {
      addSpecialTokens: readBoolean(body, 'add_special_tokens', true),
    });
  }
}

/** `POST /detokenize`: token ids to text, control tokens included. */
export function detokenize(context: ServerContext, request: FastifyRequest) {
  const body = readBody(request.body);
  resolveModel(context, body);
  const tokens = readTokenIds(body, 'tokens', context.limits.vocabSize);
  if (tokens === undefined) throw invalid('tokens is required: a list of token ids.', 'tokens');
  return { prompt: context.tokenizer.decode(tokens, { skipSpecialTokens: false }) };
}
