import { ServiceError } from '../../protocol/errors.ts';
import { defaultSamplingParams } from '../sampling-params.ts';
import { renderChat } from './chat-request.ts';
import { readCacheSalt, readPriority } from './generation-options.ts';
import { PoolingTimes } from './pooling-times.ts';
import { readTruncation } from './prompt-truncation.ts';
import { readPrompts } from './prompts.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, isGiven, readBoolean, readNumber, shown } from './request-fields.ts';
import { nowMs } from './run-generation.ts';
import type { ServerContext } from './server-context.ts';
import { adapterOf } from './server-context.ts';

type TokenIds = readonly number[];

/** Texts or tokens that become one vector each. */
export interface PoolingInputs {
  readonly tokenIds: readonly TokenIds[];
  readonly promptTokens: number;
}

/** The vectors of all inputs, in their order; when one fails the others are dropped. */
export async function poolAll(
  context: ServerContext,
  body: RequestBody,
  { model, tokenIds, client }: PoolingInputs & { readonly model: string; readonly client: AbortController },
): Promise<readonly Float32Array[]> {
  const finish = readFinish(body, context);
  const fields = {
    priority: readPriority(body, context.limits),
    cacheSalt: readCacheSalt(body),
    adapter: adapterOf(context, model),
  };
  try {
    const states = await Promise.all(tokenIds.map((ids) => pool(context, ids, fields, client.signal)));
    return states.map(finish);
  } catch (error) {
    client.abort();
    throw error;
  }
}

async function pool(
  { engine, metrics, pooling }: ServerContext,
  tokenIds: TokenIds,
  fields: {
    readonly priority: number;
    readonly cacheSalt: string | undefined;
    readonly adapter: string | undefined;
  },
  signal: AbortSignal,
): Promise<Float32Array> {
  const times = new PoolingTimes(metrics, tokenIds.length, nowMs());
  try {
    const { state, first } = await engine.pool(
      {
        ...fields,
        pooling: pooling.type,
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

/** `input` as text or token ids, one or several, or the messages of a chat. */
export async function readInputs(body: RequestBody, context: ServerContext): Promise<PoolingInputs> {
  const { maxModelLen } = context.engine.info;
  const cut = readTruncation(body, { most: maxModelLen, side: 'right' });
  const tokenIds = isGiven(body, 'messages')
    ? [cut((await renderChat({ add_generation_prompt: false, ...body }, context)).tokenIds)]
    : (
        await readPrompts(body, 'input', {
          ...context,
          vocabSize: context.limits.vocabSize,
          maxModelLen,
          cut,
        })
      ).map((prompt) => prompt.tokenIds);
  for (const { length } of tokenIds) {
    if (length === 0) throw invalid('The input has no tokens; at least one is needed.', 'input');
    if (length > maxModelLen)
      throw new ServiceError(
        'context_length_exceeded',
        `This model's maximum context length is ${maxModelLen} tokens. However, your input has ${length} tokens. ` +
          'Please reduce the length of the input.',
        { param: 'input' },
      );
  }
  return { tokenIds, promptTokens: tokenIds.reduce((sum, { length }) => sum + length, 0) };
}

export function poolingUsage(promptTokens: number) {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens,
    completion_tokens: 0,
    prompt_tokens_details: null,
  };
}

/** Cuts a state to the dimensions asked for and scales it to length 1. */
function readFinish(body: RequestBody, { engine, pooling }: ServerContext) {
  const isNormalized = readBoolean(
    body,
    isGiven(body, 'use_activation') ? 'use_activation' : 'normalize',
    pooling.isNormalized,
  );
  const dimensions = readDimensions(body, engine.info.hiddenSize, pooling.dimensions);
  const kept = dimensions ?? pooling.defaultDimensions ?? engine.info.hiddenSize;
  return (state: Float32Array): Float32Array => {
    const cut = kept < state.length ? state.slice(0, kept) : state;
    return isNormalized ? normalized(cut) : cut;
  };
}

function readDimensions(
  body: RequestBody,
  hiddenSize: number,
  trained: readonly number[] | 'any',
): number | undefined {
  const asked = readNumber(body, 'dimensions', { min: 1, isInteger: true });
  if (asked === undefined || asked === hiddenSize) return undefined;
  if (trained === 'any' ? asked < hiddenSize : trained.includes(asked)) return asked;
  throw invalid(
    trained.length === 0
      ? `This model's embeddings have ${hiddenSize} dimensions and were not trained to be shortened (it is no Matryoshka ` +
          `model); leave dimensions out, got ${shown(asked)}.`
      : `dimensions must be ${trained === 'any' ? `at most ${hiddenSize}` : `one of ${trained.join(', ')}`}, got ${shown(asked)}.`,
    'dimensions',
  );
}

function normalized(state: Float32Array): Float32Array {
  const length = Math.hypot(...state);
  return length === 0 ? state : state.map((value) => value / length);
}
