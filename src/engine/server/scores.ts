import type { FastifyReply, FastifyRequest } from 'fastify';
import { poolAll, poolingUsage, readInputs } from './pooling.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, isGiven, readBody, readNumber, shown } from './request-fields.ts';
import type { ServerContext } from './server-context.ts';
import { answerId, clientGone, nowSeconds, resolveModel } from './server-context.ts';

/**
 * `POST /score`: how alike texts are, by the cosine of their embeddings, which is what vLLM does with a model that
 * is no cross-encoder. One text against several, or pair by pair.
 */
export async function score(context: ServerContext, request: FastifyRequest, reply: FastifyReply) {
  const body = readBody(request.body);
  const model = resolveModel(context, body);
  const left = readTexts(body, firstOf(body, ['text_1', 'queries', 'query']));
  const right = readTexts(body, firstOf(body, ['text_2', 'documents', 'items']));
  if (left.length !== 1 && left.length !== right.length)
    throw invalid(
      `text_1 must be one text or as many as text_2; got ${left.length} and ${right.length}.`,
      'text_1',
    );
  const { vectors, promptTokens } = await embedAll(context, body, [...left, ...right], { model, reply });
  const data = right.map((_, index) => ({
    index,
    object: 'score',
    score: cosine(vectors[left.length === 1 ? 0 : index]!, vectors[left.length + index]!),
  }));
  const id = answerId('score-', request);
  return { id, object: 'list', created: nowSeconds(), model, data, usage: poolingUsage(promptTokens) };
}

/** `POST /rerank`, `/v1/rerank`, `/v2/rerank`, as Jina's and Cohere's: documents by their score, best first. */
export async function rerank(context: ServerContext, request: FastifyRequest, reply: FastifyReply) {
  const body = readBody(request.body);
  const model = resolveModel(context, body);
  const [query, ...others] = readTexts(body, 'query');
  if (others.length > 0) throw invalid('query must be one text.', 'query');
  const documents = readTexts(body, 'documents');
  const most = readNumber(body, 'top_n', { min: 0, isInteger: true }) ?? 0;
  const texts = [query!, ...documents];
  const { vectors, promptTokens } = await embedAll(context, body, texts, { model, reply });
  const results = documents
    .map((text, index) => ({
      index,
      document: { text },
      relevance_score: cosine(vectors[0]!, vectors[index + 1]!),
    }))
    .toSorted((a, b) => b.relevance_score - a.relevance_score || a.index - b.index);
  return {
    id: answerId('rerank-', request),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    results: most > 0 ? results.slice(0, most) : results,
  };
}

async function embedAll(
  context: ServerContext,
  body: RequestBody,
  texts: readonly string[],
  { model, reply }: { readonly model: string; readonly reply: FastifyReply },
) {
  const { truncate_prompt_tokens, truncation_side, priority, cache_salt } = body;
  const fields = { truncate_prompt_tokens, truncation_side, priority, cache_salt, normalize: true };
  const inputs = await readInputs({ ...fields, input: texts }, context);
  const vectors = await poolAll(context, fields, { ...inputs, model, client: clientGone(reply) });
  return { vectors, promptTokens: inputs.promptTokens };
}

/** The names that the API has had for one field. */
function firstOf(body: RequestBody, names: readonly [string, ...string[]]): string {
  return names.find((name) => isGiven(body, name)) ?? names[0];
}

/** A text or several; a document may be `{"text": …}`. */
function readTexts(body: RequestBody, field: string): readonly string[] {
  const given = body[field];
  const entries = Array.isArray(given) ? given : [given];
  if (given === undefined || given === null || entries.length === 0)
    throw invalid(`${field} is required: a text or a list of texts.`, field);
  return entries.map((entry: unknown) => {
    const text = typeof entry === 'object' && entry !== null ? (entry as RequestBody)['text'] : entry;
    if (typeof text === 'string') return text;
    throw invalid(`${field} must hold texts; it has ${shown(entry)}.`, field);
  });
}

/** Of vectors of length 1. */
function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}
