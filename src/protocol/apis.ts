/**
 * The HTTP APIs of inference that are known, as one table: which paths end in what, and which few fields of a body
 * matter to a scheduler. A body is only scanned for these; everything else is the engine's to judge.
 */
import type { ErrorDialect } from './error-dialects.ts';

export type ApiName =
  | 'chat'
  | 'completions'
  | 'embeddings'
  | 'responses'
  | 'conversations'
  | 'images'
  | 'messages'
  | 'count_tokens'
  | 'vllm_generate'
  | 'sglang_generate'
  | 'kserve_infer'
  | 'kserve_generate'
  | 'other';

export interface Api {
  readonly name: ApiName;
  /** Whether the body must name a model, may, or has none; or the path names it. */
  readonly model: 'required' | 'optional' | 'none' | 'in_path';
  /** Fields that make the prompt, in the order of usual chat templates: tools, system, conversation. */
  readonly prompt: readonly string[];
  /** Those of `prompt` that can be nothing but an array. */
  readonly arrays: readonly string[];
  /** `any`: a body that is no JSON object passes too. */
  readonly body: 'json_object' | 'any';
  readonly dialect: ErrorDialect;
  /** All fields that are looked for. */
  readonly fields: ReadonlySet<string>;
  /** The path alone asks for a stream. */
  readonly alwaysStreams: boolean;
}

export const tokenLimitFields = ['max_tokens', 'max_completion_tokens', 'max_output_tokens'] as const;

/** Change what a chat template makes of a conversation from its first token on. */
export const templateFields = [
  'chat_template',
  'chat_template_kwargs',
  'documents',
  'reasoning',
  'reasoning_effort',
] as const;

const chat = api('chat', { prompt: ['tools', 'messages'], arrays: ['messages'] });
const completions = api('completions', { prompt: ['prompt'] });
const responses = api('responses', {
  prompt: ['tools', 'instructions', 'input'],
  dialect: 'openai-responses',
});
const messagePrompt = { prompt: ['tools', 'system', 'messages'], arrays: ['messages'] };
const kserveGenerate = { model: 'in_path', prompt: ['text_input'] } as const;

const otherApi = api('other', { model: 'optional', body: 'any' });

/** By the end of the path, so that a prefix in front of it (`/openai/v1/…`) does not matter; the longest wins. */
const apisBySuffix: readonly (readonly [suffix: string, api: Api])[] = longestFirst([
  ['/chat/completions', chat],
  ['/chat/completions/render', chat],
  ['/completions', completions],
  ['/completions/render', completions],
  ['/embeddings', api('embeddings', { prompt: ['input'] })],
  ['/responses', responses],
  ['/responses/input_tokens', responses],
  ['/responses/compact', responses],
  ['/conversations', api('conversations', { model: 'none', prompt: ['items'] })],
  ['/images/generations', api('images', { model: 'optional', prompt: ['prompt'] })],
  ['/messages', api('messages', { ...messagePrompt, dialect: 'anthropic' })],
  ['/messages/count_tokens', api('count_tokens', { ...messagePrompt, dialect: 'anthropic' })],
  ['/inference/v1/generate', api('vllm_generate', { model: 'optional', prompt: ['token_ids'] })],
  ['/generate', api('sglang_generate', { model: 'optional', prompt: ['text', 'input_ids'] })],
]);

/** KServe's Open Inference Protocol V2 and its extension for text, where the path names the model. */
const kservePath = /\/v2\/models\/([^/]+)(?:\/versions\/[^/]+)?\/(infer|generate|generate_stream)$/;
const kserveApis: Readonly<Record<string, Api>> = {
  infer: api('kserve_infer', { model: 'in_path', prompt: ['inputs'], body: 'any' }),
  generate: api('kserve_generate', kserveGenerate),
  generate_stream: api('kserve_generate', { ...kserveGenerate, alwaysStreams: true }),
};

export interface ApiOfPath {
  readonly api: Api;
  /** The model that the path names, of an API that names it there. */
  readonly model: string | undefined;
}

/** Paths that were asked for, as nearly all requests have one of a few. Long ones are not kept. */
const known = new Map<string, ApiOfPath>();
const mostKnown = 64;
const longestKnown = 64;

export function apiOf(path: string): ApiOfPath {
  const before = known.get(path);
  if (before !== undefined) return before;
  const found = findApi(path);
  if (known.size >= mostKnown) known.clear();
  if (path.length <= longestKnown) known.set(path, found);
  return found;
}

function findApi(path: string): ApiOfPath {
  const query = path.indexOf('?');
  const plain = query === -1 ? path : path.slice(0, query);
  const [, model, verb] = plain.includes('/v2/models/') ? (kservePath.exec(plain) ?? []) : [];
  if (model !== undefined) return { api: kserveApis[verb!]!, model: decoded(model) };
  const found = apisBySuffix.find(([suffix]) => plain.endsWith(suffix));
  return { api: found?.[1] ?? otherApi, model: undefined };
}

function api(name: ApiName, given: Partial<Omit<Api, 'name' | 'fields'>>): Api {
  const { prompt = [] } = given;
  return {
    name,
    model: 'required',
    arrays: [],
    body: 'json_object',
    dialect: 'openai',
    alwaysStreams: false,
    ...given,
    prompt,
    fields: new Set(['model', 'stream', 'cache_salt', ...tokenLimitFields, ...templateFields, ...prompt]),
  };
}

function longestFirst(rows: readonly (readonly [string, Api])[]): readonly (readonly [string, Api])[] {
  return [...rows].sort(([a], [b]) => b.length - a.length);
}

/** A path is what the client wrote: one that cannot be decoded is taken as it stands. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
