import type { GenerationUsage } from './run-generation.ts';

/** `usage` as clients read it; several prompts of one request add up. `reasoningTokens` if they are counted. */
export function usageBody(usages: readonly GenerationUsage[], reasoningTokens?: number) {
  const sum = (read: (usage: GenerationUsage) => number) =>
    usages.reduce((total, usage) => total + read(usage), 0);
  const promptTokens = sum((usage) => usage.promptTokens);
  const completionTokens = sum((usage) => usage.completionTokens);
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    prompt_tokens_details: { cached_tokens: sum((usage) => usage.cachedTokens) },
    ...(reasoningTokens === undefined
      ? {}
      : { completion_tokens_details: { reasoning_tokens: reasoningTokens } }),
  };
}
