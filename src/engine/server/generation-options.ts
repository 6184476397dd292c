import type { SamplingParams } from '../sampling-params.ts';
import { readConstraint } from './constraint-fields.ts';
import type { RequestBody } from './request-fields.ts';
import {
  checkNumber,
  invalid,
  isGiven,
  readBoolean,
  readNumber,
  readObject,
  readString,
  readTokenIds,
  refuseUnsupported,
  shown,
} from './request-fields.ts';

/** What a model's `generation_config.json` says of fields that a request leaves out. */
export interface GenerationDefaults {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly maxTokens?: number;
}

/** The engine's bounds on what a request may ask for. */
export interface GenerationLimits {
  readonly vocabSize: number;
  readonly maxLogprobs: number;
  readonly maxChoices: number;
  readonly isPriorityScheduling: boolean;
  /** Log-probabilities name tokens as `token_id:7` unless a request says otherwise. */
  readonly namesTokensById?: boolean;
  /** Streams end with usage even if a request does not ask. */
  readonly forcesUsage: boolean;
  readonly defaults: GenerationDefaults;
}

/** The fields that all generating endpoints share, checked; only the length of the prompt is not known yet. */
export interface GenerationOptions {
  readonly sampling: Omit<SamplingParams, 'maxTokens' | 'logprobs' | 'badWords'>;
  readonly badWords: readonly string[];
  /** The answer has the ids of the prompt's and the text's tokens. */
  readonly returnsTokenIds: boolean;
  /** The answer has the text that the chat template made. */
  readonly returnsPromptText: boolean;
  /** Tokens per event of this stream, at least. */
  readonly streamInterval: number;
  /** Log-probabilities name tokens as `token_id:7`. */
  readonly namesTokensById: boolean;
  /** Absent if the request does not say. */
  readonly maxTokens: number | undefined;
  /** The field that gave `maxTokens`. */
  readonly maxTokensField: string;
  readonly choices: number;
  readonly stop: readonly string[];
  readonly includesStopInOutput: boolean;
  readonly skipsSpecialTokens: boolean;
  readonly isStream: boolean;
  readonly includesUsage: boolean;
  readonly includesUsageInEveryChunk: boolean;
  readonly priority: number;
  readonly cacheSalt: string | undefined;
}

const penalty = { min: -2, max: 2 };

/** `leastTokens`: 0 where an answer may be the prompt alone. */
export function readGenerationOptions(
  body: RequestBody,
  limits: GenerationLimits,
  leastTokens: 0 | 1 = 1,
): GenerationOptions {
  refuseUnsupported(body, {
    use_beam_search: false,
    logits_processors: undefined,
    logprob_token_ids: undefined,
    thinking_token_budget: undefined,
    repetition_detection: undefined,
    watermarking: false,
  });
  const maxTokensField = isGiven(body, 'max_completion_tokens') ? 'max_completion_tokens' : 'max_tokens';
  const maxTokens = readNumber(body, maxTokensField, { min: leastTokens, isInteger: true });
  const streamOptions = readObject(body, 'stream_options');
  const isStream = readBoolean(body, 'stream', false);
  if (streamOptions !== undefined && !isStream)
    throw invalid('Stream options can only be defined when `stream=True`.', 'stream_options');
  return {
    sampling: readSampling(body, limits, maxTokens),
    maxTokens,
    maxTokensField,
    choices: readNumber(body, 'n', { min: 1, max: limits.maxChoices, isInteger: true }) ?? 1,
    stop: readStrings(body, 'stop'),
    badWords: readStrings(body, 'bad_words'),
    returnsTokenIds: readBoolean(body, 'return_token_ids', false),
    returnsPromptText: readBoolean(body, 'return_prompt_text', false),
    streamInterval: readNumber(body, 'stream_interval', { min: 1, isInteger: true }) ?? 1,
    namesTokensById: readBoolean(body, 'return_tokens_as_token_ids', limits.namesTokensById ?? false),
    includesStopInOutput: readBoolean(body, 'include_stop_str_in_output', false),
    skipsSpecialTokens: readBoolean(body, 'skip_special_tokens', true),
    isStream,
    includesUsage: readBoolean(streamOptions ?? {}, 'include_usage', false) || limits.forcesUsage,
    includesUsageInEveryChunk: readBoolean(streamOptions ?? {}, 'continuous_usage_stats', false),
    priority: readPriority(body, limits),
    cacheSalt: readCacheSalt(body),
  };
}

function readSampling(
  body: RequestBody,
  limits: GenerationLimits,
  maxTokens: number | undefined,
): GenerationOptions['sampling'] {
  const { defaults, vocabSize } = limits;
  const topK = readNumber(body, 'top_k', { min: -1, isInteger: true }) ?? defaults.topK ?? 0;
  const minTokens = readNumber(body, 'min_tokens', { min: 0, isInteger: true }) ?? 0;
  if (maxTokens !== undefined && minTokens > maxTokens)
    throw invalid(
      `min_tokens must be less than or equal to max_tokens=${maxTokens}, got ${minTokens}.`,
      'min_tokens',
    );
  const seed = readNumber(body, 'seed', { isInteger: true });
  return {
    // What is banned has a logit of -Infinity: an infinite divisor would make it NaN.
    temperature: Math.min(
      readNumber(body, 'temperature', { min: 0 }) ?? defaults.temperature ?? 1,
      mostFloat,
    ),
    topP: asPositiveFloat(readNumber(body, 'top_p', { above: 0, max: 1 }) ?? defaults.topP ?? 1),
    // All tokens are as good as no limit; native code counts in 32 bits.
    topK: topK === -1 || topK >= vocabSize ? 0 : topK,
    minP: readNumber(body, 'min_p', { min: 0, max: 1 }) ?? defaults.minP ?? 0,
    repetitionPenalty: asPositiveFloat(
      readNumber(body, 'repetition_penalty', { above: 0 }) ?? defaults.repetitionPenalty ?? 1,
    ),
    presencePenalty: readNumber(body, 'presence_penalty', penalty) ?? 0,
    frequencyPenalty: readNumber(body, 'frequency_penalty', penalty) ?? 0,
    seed: seed === undefined ? undefined : BigInt(seed),
    minTokens,
    stopTokenIds: readTokenIds(body, 'stop_token_ids', vocabSize) ?? [],
    ignoreEos: readBoolean(body, 'ignore_eos', false),
    promptLogprobs: readPromptLogprobs(body, limits.maxLogprobs),
    logitBias: readLogitBias(body, vocabSize),
    allowedTokenIds: readAllowedTokenIds(body, vocabSize),
    constraint: readConstraint(body),
  };
}

const [leastFloat, mostFloat] = [2 ** -126, 2 ** 127];

/** A positive number that stays positive and finite in float32. */
function asPositiveFloat(value: number): number {
  return Math.min(Math.max(value, leastFloat), mostFloat);
}

function readPromptLogprobs(body: RequestBody, maxLogprobs: number): number | undefined {
  const count = readNumber(body, 'prompt_logprobs', { min: 0, isInteger: true });
  if (count === undefined) return undefined;
  if (count > maxLogprobs)
    throw invalid(
      `Requested prompt logprobs of ${count}, which is greater than max allowed: ${maxLogprobs}`,
      'prompt_logprobs',
    );
  if (readBoolean(body, 'stream', false))
    throw invalid('`prompt_logprobs` are not available when `stream=True`.', 'prompt_logprobs');
  return count;
}

function readStrings(body: RequestBody, name: 'stop' | 'bad_words'): readonly string[] {
  const value = body[name];
  if (value === undefined || value === null) return [];
  const strings = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(strings) || strings.some((string) => typeof string !== 'string'))
    throw invalid(`${name} must be a string or a list of strings, got ${shown(value)}.`, name);
  if (strings.includes('')) throw invalid(`${name} cannot contain an empty string.`, name);
  return strings as readonly string[];
}

function readLogitBias(body: RequestBody, vocabSize: number): SamplingParams['logitBias'] {
  const biases = readObject(body, 'logit_bias') ?? {};
  return Object.entries(biases).map(([key, value]) => {
    const tokenId = Number(key);
    if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId >= vocabSize)
      throw invalid(
        `logit_bias must map token ids from 0 to ${vocabSize - 1} to numbers; it has ${shown(key)}.`,
        'logit_bias',
      );
    return [tokenId, checkNumber(value, 'logit_bias', { min: -100, max: 100 })] as const;
  });
}

function readAllowedTokenIds(body: RequestBody, vocabSize: number): readonly number[] | undefined {
  const ids = readTokenIds(body, 'allowed_token_ids', vocabSize);
  if (ids?.length === 0) throw invalid('allowed_token_ids must not be empty.', 'allowed_token_ids');
  return ids;
}

export function readPriority(body: RequestBody, { isPriorityScheduling }: GenerationLimits): number {
  const priority = readNumber(body, 'priority', { isInteger: true }) ?? 0;
  if (priority !== 0 && !isPriorityScheduling)
    throw invalid(
      `Got priority ${priority} but priority scheduling is not enabled; start the engine with --scheduling-policy priority.`,
      'priority',
    );
  return priority;
}

export function readCacheSalt(body: RequestBody): string | undefined {
  const salt = readString(body, 'cache_salt');
  if (salt !== undefined && (salt.length === 0 || salt.length > 1024))
    throw invalid(`cache_salt must have 1 to 1024 characters, got ${salt.length}.`, 'cache_salt');
  return salt;
}
