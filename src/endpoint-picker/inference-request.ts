/**
 * HTTP request → `InferenceRequest`. Both adapters parse with this; it reads the few fields that scheduling uses
 * and leaves every other judgement to the engine. The body is never changed.
 */
import { hashBlocks } from '../prefix-index/block-hashes.ts';
import { ServiceError } from '../protocol/errors.ts';
import { requestHeaders } from '../protocol/headers.ts';
import {
  decodeJsonString,
  type JsonRange,
  type JsonScan,
  JsonSyntaxError,
  scanJson,
} from '../protocol/json-scan.ts';
import { emptyPrefix, type InferenceRequest, type PrefixHashes } from '../scheduling/inference-request.ts';

export type Api = 'chat' | 'completions' | 'embeddings' | 'responses' | 'messages' | 'other';

export interface HttpRequest {
  /** Made by us. */
  readonly id: string;
  readonly method: string;
  /** With or without a query. */
  readonly path: string;
  /** Names in lower case; repeated headers joined with a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** The whole body; undefined when the request has none, or it is not for us to read. */
  readonly body: Buffer | undefined;
}

export interface ParseOptions {
  /** Tokens per hashed block of the prompt. */
  readonly blockTokens: number;
  /** Prompt tokens that are hashed, at most. */
  readonly maxPrefixTokens: number;
  /** Priority by the name of an inference objective; an unknown name means 0. */
  readonly objectives?: ReadonlyMap<string, number>;
}

export interface ParsedRequest {
  readonly request: InferenceRequest;
  readonly api: Api;
  /** Bytes of the value of `model`, quotes included, for splicing; undefined when the body has none. */
  readonly modelRange: { readonly start: number; readonly end: number } | undefined;
}

/** Throws a `ServiceError`: `invalid_json`, or `invalid_request` with the field at fault as `param`. */
export function parseInferenceRequest(http: HttpRequest, options: ParseOptions): ParsedRequest {
  const api = apiOf(http.path);
  const scan = scanBody(http.body, api);
  const model = readModel(http.body, scan, api);
  if (api !== 'other' && scan !== undefined) checkFields(http.body!, scan, api);
  const prompt = promptRanges(scan, api);
  const promptBytes = api === 'other' ? (http.body?.length ?? 0) : totalBytes(prompt);
  const request: InferenceRequest = {
    id: http.id,
    model: model?.text,
    priority: options.objectives?.get(firstHeader(http.headers, requestHeaders.objective) ?? '') ?? 0,
    tenant: readTenant(http.headers),
    headers: http.headers,
    promptTokens: Math.ceil(promptBytes / bytesPerToken),
    prefix: hashPrompt(http.body, scan, prompt, model?.text, options),
    isStreaming: scan?.members.get('stream')?.type === 'boolean' && isTrue(http.body!, scan, 'stream'),
    slo: {
      ttftMs: positiveNumber(firstHeader(http.headers, requestHeaders.ttftSloMs)),
      tpotMs: positiveNumber(firstHeader(http.headers, requestHeaders.tpotSloMs)),
    },
  };
  return { request, api, modelRange: model?.range };
}

/** By the end of the path, so that a prefix in front of it (`/openai/v1/…`) does not matter. */
export function apiOf(path: string): Api {
  const query = path.indexOf('?');
  const plain = query === -1 ? path : path.slice(0, query);
  return apiBySuffix.find(([suffix]) => plain.endsWith(suffix))?.[1] ?? 'other';
}

const apiBySuffix: readonly (readonly [string, Api])[] = [
  ['/chat/completions', 'chat'],
  ['/completions', 'completions'],
  ['/embeddings', 'embeddings'],
  ['/responses', 'responses'],
  ['/messages', 'messages'],
];

/** Fields that make the prompt, in the order of usual chat templates: tools, system, conversation. */
const promptFields: Readonly<Record<Api, readonly string[]>> = {
  chat: ['tools', 'messages'],
  completions: ['prompt'],
  embeddings: ['input'],
  responses: ['tools', 'instructions', 'input'],
  messages: ['tools', 'system', 'messages'],
  other: [],
};

const tokenLimitFields = ['max_tokens', 'max_completion_tokens', 'max_output_tokens'];

/** Larger limits do not fit the 32-bit counters of engines. */
const largestTokenLimit = 2 ** 31 - 1;

const readFields: ReadonlySet<string> = new Set([
  'model',
  'stream',
  'cache_salt',
  ...tokenLimitFields,
  ...Object.values(promptFields).flat(),
]);

/** A usual figure for English and code, used until a tokenizer has counted. */
const bytesPerToken = 4;

function scanBody(body: Buffer | undefined, api: Api): JsonScan | undefined {
  if (body === undefined) return undefined;
  try {
    const scan = scanJson(body, { keys: readFields });
    if (scan.type === 'object') return scan;
    if (api === 'other') return undefined;
    throw new ServiceError('invalid_request', `Expected a JSON object as the body, found ${describe(scan)}.`);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    if (api === 'other') return undefined; // not ours to judge: it may be any format
    throw new ServiceError('invalid_json', `The body is ${error.message}.`, { cause: error });
  }
}

function readModel(body: Buffer | undefined, scan: JsonScan | undefined, api: Api) {
  if (body === undefined || scan === undefined) return undefined;
  const range = scan.members.get('model');
  const text = range?.type === 'string' ? decodeJsonString(body, range) : undefined;
  if (range !== undefined && text !== undefined && text !== '') return { text, range };
  if (api === 'other') return undefined;
  const found = text === '' ? 'an empty string' : describe(range);
  throw invalidField('model', `the name of a model as a string (GET /v1/models lists them)`, found);
}

function checkFields(body: Buffer, scan: JsonScan, api: Api): void {
  const stream = scan.members.get('stream');
  if (stream !== undefined && stream.type !== 'boolean' && stream.type !== 'null') {
    throw invalidField('stream', 'true or false', describe(stream));
  }
  const messages = scan.members.get('messages');
  if ((api === 'chat' || api === 'messages') && messages !== undefined && messages.type !== 'array') {
    throw invalidField('messages', 'an array of messages', describe(messages));
  }
  for (const name of tokenLimitFields) {
    const range = scan.members.get(name);
    if (range === undefined || range.type === 'null') continue;
    const value =
      range.type === 'number' ? Number(body.toString('latin1', range.start, range.end)) : Number.NaN;
    if (Number.isInteger(value) && value >= 0 && value <= largestTokenLimit) continue;
    const found = range.type === 'number' ? body.toString('latin1', range.start, range.end) : describe(range);
    throw invalidField(name, `a whole number from 0 to ${largestTokenLimit}`, found.slice(0, 40));
  }
}

function promptRanges(scan: JsonScan | undefined, api: Api): readonly JsonRange[] {
  if (scan === undefined) return [];
  return promptFields[api]
    .map((name) => scan.members.get(name))
    .filter((range) => range !== undefined && range.type !== 'null') as JsonRange[];
}

/** The seed keeps apart what must not share KV blocks: other models and adapters, and other cache salts. */
function hashPrompt(
  body: Buffer | undefined,
  scan: JsonScan | undefined,
  prompt: readonly JsonRange[],
  model: string | undefined,
  { blockTokens, maxPrefixTokens }: ParseOptions,
): PrefixHashes {
  if (body === undefined || prompt.length === 0) return emptyPrefix;
  const salt = scan?.members.get('cache_salt');
  const seed = salt?.type === 'string' ? `${model}\0${decodeJsonString(body, salt)}` : `${model}`;
  const parts = prompt.map(({ start, end }) => body.subarray(start, end));
  return hashBlocks(seed, parts, { blockTokens, maxTokens: maxPrefixTokens });
}

function totalBytes(ranges: readonly JsonRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

function isTrue(body: Buffer, scan: JsonScan, name: string): boolean {
  return body[scan.members.get(name)!.start] === 0x74;
}

/** The first of the spellings that the request carries, trimmed; empty counts as absent. */
function firstHeader(headers: ReadonlyMap<string, string>, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headers.get(name)?.trim();
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

/** Requests that name no tenant share this one; logs leave it out. */
export const defaultTenant = '';

/** Longer names are cut: a tenant is a key of queues. */
const longestTenant = 128;

function readTenant(headers: ReadonlyMap<string, string>): string {
  return (firstHeader(headers, requestHeaders.tenant) ?? defaultTenant).slice(0, longestTenant);
}

function positiveNumber(text: string | undefined): number | undefined {
  const value = text === undefined ? Number.NaN : Number(text);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

function invalidField(param: string, expected: string, found: string): ServiceError {
  return new ServiceError('invalid_request', `Expected "${param}" to be ${expected}, found ${found}.`, {
    param,
  });
}

function describe(range: JsonRange | undefined): string {
  if (range === undefined) return 'nothing';
  if (range.type === 'null') return 'null';
  return range.type === 'object' || range.type === 'array' ? `an ${range.type}` : `a ${range.type}`;
}
