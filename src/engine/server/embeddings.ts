import type { FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import { defaultSamplingParams } from '../sampling-params.ts';
import { renderChat } from './chat-request.ts';
import { readCacheSalt, readPriority } from './generation-options.ts';
import { PoolingTimes } from './pooling-times.ts';
import { readTruncation } from './prompt-truncation.ts';
import { readPrompts } from './prompts.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, isGiven, readBody, readBoolean, readString, shown } from './request-fields.ts';
import { nowMs } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { adapterOf, answerId, clientGone, nowSeconds, resolveModel } from './server-context.ts';

/**
 * `POST /v1/embeddings`: of each input the last token's state after the final norm, scaled to length 1, which is what
 * vLLM makes of a decoder (pooling LAST, normalized).
 */
export async function embeddings(
  context: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = readBody(request.body);
  const model = resolveModel(context, body);
  refuseDimensions(body, context.engine.info.hiddenSize);
  const encode = readEncoding(body);
  const isNormalized = readBoolean(body, 'normalize', true);
  const inputs = await readInputs(body, context);
  const client = clientGone(reply);
  const pooling = { ...poolingFields(body, context), adapter: adapterOf(context, model) };
  try {
    const states = await Promise.all(
      inputs.map((tokenIds) => pool(context, tokenIds, pooling, client.signal)),
    );
    const promptTokens = inputs.reduce((sum, { length }) => sum + length, 0);
    return {
      id: answerId('embd-', request),
      object: 'list',
      created: nowSeconds(),
      model,
      data: states.map((state, index) => ({
        index,
        object: 'embedding',
        embedding: encode(isNormalized ? normalized(state) : state),
      })),
      usage: {
        prompt_tokens: promptTokens,
        total_tokens: promptTokens,
        completion_tokens: 0,
        prompt_tokens_details: null,
      },
    };
  } catch (error) {
    // One input failed: the others need not go on.
    client.abort();
    throw error;
  }
}

async function pool(
  { engine, metrics }: ServerContext,
  tokenIds: readonly number[],
  fields: PoolingFields & { readonly adapter: string | undefined },
  signal: AbortSignal,
): Promise<Float32Array> {
  const times = new PoolingTimes(metrics, tokenIds.length, nowMs());
  try {
    const { state, first } = await engine.pool(
      {
        ...fields,
        promptTokens: Int32Array.from(tokenIds),
        sampling: { ...defaultSamplingParams, maxTokens: 1 },
      },
      signal,
    );
    times.finish(first, nowMs());
    return state;
  } catch (error) {
    times.fail(signal.aborted ? 'abort' : 'error', nowMs());
    throw error;
  }
}

type PoolingFields = ReturnType<typeof poolingFields>;

function poolingFields(body: RequestBody, { limits }: ServerContext) {
  return { priority: readPriority(body, limits), cacheSalt: readCacheSalt(body) };
}

/** `input` as text or token ids, one or several, or the messages of a chat. */
async function readInputs(
  body: RequestBody,
  context: ServerContext,
): Promise<readonly (readonly number[])[]> {
  const { maxModelLen } = context.engine.info;
  const cut = readTruncation(body, { most: maxModelLen, side: 'right' });
  const inputs = isGiven(body, 'messages')
    ? [cut((await renderChat({ add_generation_prompt: false, ...body }, context)).tokenIds)]
    : (
        await readPrompts(body, 'input', {
          ...context,
          vocabSize: context.limits.vocabSize,
          maxModelLen,
          cut,
        })
      ).map(({ tokenIds }) => tokenIds);
  for (const { length } of inputs) {
    if (length === 0) throw invalid('The input has no tokens; at least one is needed.', 'input');
    if (length > maxModelLen)
      throw new ServiceError(
        'context_length_exceeded',
        `This model's maximum context length is ${maxModelLen} tokens. However, your input has ${length} tokens. ` +
          'Please reduce the length of the input.',
        { param: 'input' },
      );
  }
  return inputs;
}

function refuseDimensions(body: RequestBody, hiddenSize: number): void {
  if (!isGiven(body, 'dimensions') || body['dimensions'] === hiddenSize) return;
  throw invalid(
    `This model's embeddings have ${hiddenSize} dimensions and were not trained to be shortened (it is no Matryoshka ` +
      `model); leave dimensions out, got ${shown(body['dimensions'])}.`,
    'dimensions',
  );
}

function readEncoding(body: RequestBody): (state: Float32Array) => readonly number[] | string {
  const format = readString(body, 'encoding_format') ?? 'float';
  if (format === 'float') return (state) => Array.from(state);
  if (format === 'base64') return littleEndianBase64;
  throw invalid(`encoding_format must be 'float' or 'base64', got ${shown(format)}.`, 'encoding_format');
}

/** As OpenAI's clients read it: float32, little-endian. */
function littleEndianBase64(state: Float32Array): string {
  const bytes = Buffer.alloc(state.length * 4);
  state.forEach((value, i) => {
    bytes.writeFloatLE(value, i * 4);
  });
  return bytes.toString('base64');
}

function normalized(state: Float32Array): Float32Array {
  const length = Math.hypot(...state);
  return length === 0 ? state : state.map((value) => value / length);
}
