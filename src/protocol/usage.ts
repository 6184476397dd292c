/** Reads token counts out of the shapes that engines report them in. */
import type { Usage } from './response-observer.ts';

/** A value parsed from JSON, looked into without trust. */
export function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/**
 * The `usage` object of OpenAI chat and completions (`prompt_tokens`), of the Responses API and of Anthropic
 * Messages (`input_tokens`). Anthropic counts cached tokens beside `input_tokens`, OpenAI within them.
 */
export function readUsage(usage: unknown): Usage | undefined {
  if (typeof usage !== 'object' || usage === null || Array.isArray(usage)) return undefined;
  const details = field(usage, 'prompt_tokens_details') ?? field(usage, 'input_tokens_details');
  const cacheRead = count(field(usage, 'cache_read_input_tokens'));
  const cacheWritten = count(field(usage, 'cache_creation_input_tokens'));
  const input = count(field(usage, 'prompt_tokens')) ?? count(field(usage, 'input_tokens'));
  return {
    promptTokens: input === undefined ? undefined : input + (cacheRead ?? 0) + (cacheWritten ?? 0),
    completionTokens: count(field(usage, 'completion_tokens')) ?? count(field(usage, 'output_tokens')),
    cachedTokens: count(field(details, 'cached_tokens')) ?? cacheRead,
  };
}

/** What was known, overwritten by what is newer: Anthropic tells the prompt first and the output last. */
export function mergeUsage(known: Usage | undefined, newer: Usage | undefined): Usage | undefined {
  if (known === undefined || newer === undefined) return newer ?? known;
  return {
    promptTokens: newer.promptTokens ?? known.promptTokens,
    completionTokens: newer.completionTokens ?? known.completionTokens,
    cachedTokens: newer.cachedTokens ?? known.cachedTokens,
  };
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
