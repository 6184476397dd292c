import type { RequestBody } from './request-fields.ts';
import { invalid, readNumber, readString, shown } from './request-fields.ts';

/** Cuts a prompt's tokens to what the request allows. */
export type Truncate = (tokenIds: readonly number[]) => readonly number[];

/**
 * vLLM's `truncate_prompt_tokens`: at most that many tokens, -1 for `most`, all that can be served. `truncation_side` tells
 * which end goes; `side` if the request does not say.
 */
export function readTruncation(
  body: RequestBody,
  { most, side }: { readonly most: number; readonly side: 'left' | 'right' },
): Truncate {
  const asked = readNumber(body, 'truncate_prompt_tokens', { min: -1, isInteger: true });
  const from = readString(body, 'truncation_side') ?? side;
  if (from !== 'left' && from !== 'right')
    throw invalid(`truncation_side must be 'left' or 'right', got ${shown(from)}.`, 'truncation_side');
  if (asked === undefined) return (tokenIds) => tokenIds;
  if (asked === 0)
    throw invalid('truncate_prompt_tokens must be -1 or at least 1, got 0.', 'truncate_prompt_tokens');
  const count = asked === -1 ? Math.max(1, most) : asked;
  return (tokenIds) => {
    if (tokenIds.length <= count) return tokenIds;
    return from === 'left' ? tokenIds.slice(-count) : tokenIds.slice(0, count);
  };
}
