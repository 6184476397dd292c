import { performance } from 'node:perf_hooks';
import type { Tokenizer } from '../../tokenizer/index.ts';
import type { EngineClient } from '../engine-client.ts';
import type { EngineRequest } from '../sequence.ts';
import type { StepOutput, TokenLogprobs } from '../step-output.ts';
import type { ChoiceFinish } from './choice-text.ts';
import { ChoiceText } from './choice-text.ts';
import type { EngineMetrics } from './engine-metrics.ts';
import type { GenerationOptions } from './generation-options.ts';
import { groupUpdates } from './group-updates.ts';
import { RequestTimes } from './request-times.ts';
import { readVocabulary } from './token-vocabulary.ts';

export interface GenerationRequest {
  readonly promptTokens: readonly number[];
  readonly options: GenerationOptions;
  readonly maxTokens: number;
  readonly logprobs: number | undefined;
  /** Name of a LoRA adapter; absent: the model as it is. */
  readonly adapter?: string | undefined;
}

/** Tokens of one request, in OpenAI's counts. */
export interface GenerationUsage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  completionTokens: number;
}

/** New text of one choice, with the tokens behind it. */
export interface ChoiceDelta {
  readonly choice: number;
  readonly text: string;
  readonly outputs: readonly StepOutput[];
  readonly finish: ChoiceFinish | undefined;
}

interface GrowingDelta extends ChoiceDelta {
  text: string;
  readonly outputs: StepOutput[];
  finish: ChoiceFinish | undefined;
}

export interface GenerationUpdate {
  /** With the first token, if asked for: of the prompt's tokens from the second on. */
  readonly promptLogprobs?: readonly TokenLogprobs[] | undefined;
  readonly deltas: readonly ChoiceDelta[];
  readonly usage: GenerationUsage;
}

export interface GenerationCollaborators {
  /** Tokens per update of a stream. */
  readonly streamInterval: number;
  readonly engine: EngineClient;
  readonly tokenizer: Tokenizer;
  readonly metrics: EngineMetrics;
}

/**
 * Runs one prompt to its end. Yields whatever is new since the reader last asked, so a slow reader gets fewer
 * and larger updates. When the signal fires, or the reader leaves early, the engine drops the request.
 */
export function runGeneration(
  collaborators: GenerationCollaborators,
  request: GenerationRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationUpdate> {
  const updates = generate(collaborators, request, signal);
  const streamInterval = Math.max(collaborators.streamInterval, request.options.streamInterval);
  return request.options.isStream && streamInterval > 1 ? groupUpdates(updates, streamInterval) : updates;
}

async function* generate(
  { engine, tokenizer, metrics }: GenerationCollaborators,
  request: GenerationRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationUpdate> {
  const { promptTokens, options } = request;
  const times = new RequestTimes(metrics, request, nowMs());
  const texts = Array.from({ length: options.choices }, () => new ChoiceText(tokenizer, options));
  const ended = new Set<number>();
  const usage = { promptTokens: promptTokens.length, cachedTokens: 0, completionTokens: 0 };
  if (options.sampling.constraint !== undefined) engine.useVocabulary(() => readVocabulary(tokenizer));
  const generation = engine.generate(engineRequest(request, tokenizer));
  const abort = () => engine.abort(generation.requestId);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  let hasFailed = false;
  try {
    for await (const outputs of generation) {
      const atMs = nowMs();
      let promptLogprobs: readonly TokenLogprobs[] | undefined;
      const deltas = new Map<number, GrowingDelta>();
      for (const output of outputs) {
        const { choice } = output;
        if (ended.has(choice)) continue;
        usage.completionTokens++;
        if (choice === 0 && output.first !== undefined) {
          usage.cachedTokens = output.first.cachedTokens;
          promptLogprobs = output.first.promptLogprobs;
        }
        times.token(output, atMs);
        const { text, finish } = texts[choice]!.push(output);
        const delta = deltas.get(choice);
        if (delta === undefined) deltas.set(choice, { choice, text, outputs: [output], finish });
        else {
          delta.text += text;
          delta.outputs.push(output);
          delta.finish = finish;
        }
        if (finish === undefined) continue;
        ended.add(choice);
        times.finish(choice, finish.reason, atMs);
        // A stop string is seen here, not by the engine, which goes on until it is told.
        if (output.finish === undefined) engine.abort(generation.requestId, choice);
      }
      yield { promptLogprobs, deltas: [...deltas.values()], usage };
    }
  } catch (error) {
    hasFailed = true;
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
    if (ended.size < options.choices) {
      abort();
      for (let choice = 0; choice < options.choices; choice++)
        if (!ended.has(choice)) times.finish(choice, hasFailed ? 'error' : 'abort', nowMs());
    }
  }
}

function engineRequest(
  { promptTokens, options, maxTokens, logprobs, adapter }: GenerationRequest,
  tokenizer: Tokenizer,
): Omit<EngineRequest, 'id'> {
  const badWords = options.badWords.flatMap((word) => spellings(word, tokenizer));
  return {
    promptTokens: Int32Array.from(promptTokens),
    sampling: { ...options.sampling, badWords, maxTokens, logprobs },
    choices: options.choices,
    priority: options.priority,
    cacheSalt: options.cacheSalt,
    adapter,
  };
}

/** A word within a text, at its beginning and after a space: as tokens they differ. */
function spellings(word: string, tokenizer: Tokenizer): readonly (readonly number[])[] {
  return [word.trimStart(), ` ${word.trimStart()}`]
    .map((text) => tokenizer.encode(text, { addSpecialTokens: false }))
    .filter((tokenIds) => tokenIds.length > 0);
}

/** Comparable between threads: the engine's thread dates first schedulings with the same clock. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
