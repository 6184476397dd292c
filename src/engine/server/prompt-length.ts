import { ServiceError } from '../../protocol/errors.ts';
import { invalid } from './request-fields.ts';

export interface LengthRequest {
  readonly promptTokens: number;
  readonly requested: number | undefined;
  /** The request field that holds the prompt, and the one that gave `requested`. */
  readonly promptField: 'prompt' | 'messages' | 'input';
  readonly maxTokensField: string;
  readonly maxModelLen: number;
  /** Used when the request does not say; the rest of the context if absent too. */
  readonly fallback: number | undefined;
}

/** Characters up to which a prompt is encoded whatever its length, so that its tokens can be named. */
const alwaysCounted = 65_536;

/** Refuses a text that no tokenizer could make short enough, before anything is spent on it. */
export function checkCharacters(
  characters: number,
  promptField: LengthRequest['promptField'],
  { maxModelLen, maxTokenCharacters }: { readonly maxModelLen: number; readonly maxTokenCharacters: number },
): void {
  const most = maxModelLen * maxTokenCharacters;
  if (characters <= Math.max(most, alwaysCounted)) return;
  throw new ServiceError(
    'context_length_exceeded',
    `This model's maximum context length is ${maxModelLen} tokens, which is at most ${most} characters. However, your ` +
      `${have(promptField)} ${characters}. Please reduce the length of the ${promptField}.`,
    { param: promptField },
  );
}

/** How many tokens may be generated. A prompt and an explicit request must fit the context together. */
export function resolveMaxTokens(request: LengthRequest): number {
  const { promptTokens, requested, promptField: part, maxTokensField, maxModelLen, fallback } = request;
  if (promptTokens === 0) throw invalid(`The ${part} has no tokens; at least one is needed.`, part);
  if (promptTokens >= maxModelLen)
    throw new ServiceError(
      'context_length_exceeded',
      `This model's maximum context length is ${maxModelLen} tokens. However, your ${have(part)} ${promptTokens} ` +
        `tokens, and at least 1 token must be generated. Please reduce the length of the ${part}.`,
      { param: part },
    );
  const room = maxModelLen - promptTokens;
  if (requested === undefined) return Math.min(room, fallback ?? room);
  if (requested > room)
    throw new ServiceError(
      'context_length_exceeded',
      `This model's maximum context length is ${maxModelLen} tokens. However, you requested ` +
        `${promptTokens + requested} tokens (${promptTokens} in the ${part}, ${requested} in the completion). ` +
        `Please reduce the length of the ${part} or completion.`,
      { param: maxTokensField },
    );
  return requested;
}

function have(part: LengthRequest['promptField']): string {
  return `${part} ${part === 'messages' ? 'have' : 'has'}`;
}
