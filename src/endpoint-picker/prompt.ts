/** The part of a body that fills KV blocks: how long it is, and the hashes of its beginning. */
import { hashBlocks } from '../prefix-index/block-hashes.ts';
import { type Api, templateFields } from '../protocol/apis.ts';
import { decodeJsonString, type JsonScan } from '../protocol/json-scan.ts';
import { promptPieces } from '../protocol/prompt-media.ts';
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

/** About what engines make of an image of usual size. */
const tokensPerMedium = 256;

/**
 * The hashes stand for what an engine's own prefix cache tells apart: model or adapter, cache salt, what changes
 * the chat template, then the prompt in the template's usual order. They are made of the JSON as it is written,
 * so two spellings of one prompt do not match, and a text never matches a list; no match is believed wrongly.
 */
export function readPrompt(
  body: Buffer,
  scan: JsonScan | undefined,
  api: Api,
  model: string | undefined,
  { blockTokens, maxPrefixTokens }: PromptOptions,
): Prompt {
  if (api.prompt.length === 0 || scan === undefined) {
    return { tokens: Math.ceil(body.length / bytesPerToken), prefix: emptyPrefix };
  }
  const media = { mediumBytes: tokensPerMedium * bytesPerToken, longestString: scan.longestString };
  const parts: Uint8Array[] = [];
  let textBytes = 0;
  let ids = 0;
  for (const name of api.prompt) {
    const range = scan.members.get(name);
    if (range === undefined || range.type === 'null') continue;
    const tokenIds = readTokenIds(body, range, maxPrefixTokens);
    if (tokenIds === undefined) {
      for (const piece of promptPieces(body, range, media)) {
        textBytes += piece.length;
        parts.push(piece);
      }
    } else {
      ids += tokenIds.count;
      parts.push(tokenIds.bytes);
    }
  }
  const tokens = ids + Math.ceil(textBytes / bytesPerToken);
  if (parts.length === 0) return { tokens, prefix: emptyPrefix };
  return {
    tokens,
    prefix: hashBlocks(seedOf(body, scan, model), parts, { blockTokens, maxTokens: maxPrefixTokens }),
  };
}

/** Keeps apart what must not share KV blocks. */
function seedOf(body: Buffer, scan: JsonScan, model: string | undefined): string {
  const salt = scan.members.get('cache_salt');
  let seed = salt?.type === 'string' ? `${model}\0${decodeJsonString(body, salt)}` : `${model}`;
  for (const name of templateFields) {
    const range = scan.members.get(name);
    if (range === undefined || range.type === 'null') continue;
    seed += `\0${name}=${body.toString('latin1', range.start, range.end)}`;
  }
  return seed;
}
