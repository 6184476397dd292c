/** The part of a body that fills KV blocks: how long it is, and the hashes of its beginning. */
import { hashBlocks } from '../prefix-index/block-hashes.ts';
import type { Api } from '../protocol/apis.ts';
import { decodeJsonString, type JsonScan } from '../protocol/json-scan.ts';
import { readTokenIds } from '../protocol/token-ids.ts';
import { emptyPrefix, type PrefixHashes } from '../scheduling/inference-request.ts';

export interface PromptOptions {
  /** Tokens per hashed block of the prompt. */
  readonly blockTokens: number;
  /** Prompt tokens that are hashed, at most. */
  readonly maxPrefixTokens: number;
}

export interface Prompt {
  readonly tokens: number;
  readonly prefix: PrefixHashes;
}

/** A usual figure for English and code, used until a tokenizer has counted. */
const bytesPerToken = 4;

/** The seed keeps apart what must not share KV blocks: other models and adapters, and other cache salts. */
export function readPrompt(
  body: Buffer,
  scan: JsonScan | undefined,
  api: Api,
  model: string | undefined,
  { blockTokens, maxPrefixTokens }: PromptOptions,
): Prompt {
  if (api.prompt.length === 0) {
    return { tokens: Math.ceil(body.length / bytesPerToken), prefix: emptyPrefix };
  }
  const parts: Uint8Array[] = [];
  let textBytes = 0;
  let ids = 0;
  for (const name of api.prompt) {
    const range = scan?.members.get(name);
    if (range === undefined || range.type === 'null') continue;
    const tokenIds = readTokenIds(body, range, maxPrefixTokens);
    if (tokenIds === undefined) {
      textBytes += range.end - range.start;
      parts.push(body.subarray(range.start, range.end));
    } else {
      ids += tokenIds.count;
      parts.push(tokenIds.bytes);
    }
  }
  const tokens = ids + Math.ceil(textBytes / bytesPerToken);
  if (parts.length === 0) return { tokens, prefix: emptyPrefix };
  const salt = scan?.members.get('cache_salt');
  const seed = salt?.type === 'string' ? `${model}\0${decodeJsonString(body, salt)}` : `${model}`;
  return { tokens, prefix: hashBlocks(seed, parts, { blockTokens, maxTokens: maxPrefixTokens }) };
}
