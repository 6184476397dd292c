/**
 * HTTP request → `InferenceRequest`. Both adapters parse with this; it reads the few fields that scheduling uses
 * and leaves every other judgement to the engine. Of the body only the model's name is ever changed.
 */
import { type Api, type ApiName, apiOf } from '../protocol/apis.ts';
import { ServiceError } from '../protocol/errors.ts';
import { requestHeaders } from '../protocol/headers.ts';
import type { JsonRange, JsonScan } from '../protocol/json-scan.ts';
import { spliceModel } from '../protocol/model-splice.ts';
import { emptyPrefix, type InferenceRequest, type Slo } from '../scheduling/inference-request.ts';
import { asksForStream, checkFields, missingModel, readModelName, scanBody } from './body-fields.ts';
import { firstHeader, type HttpRequest } from './http-request.ts';
import type { ModelAlias, RewriteModel } from './model-rewrites.ts';
import { type PromptOptions, readPrompt } from './prompt.ts';

/** What an inference objective stands for. */
export interface Objective {
  readonly priority: number;
  /** Targets of requests that name none in their headers. */
  readonly slo?: Slo;
}

/** What the configuration says of requests; a reload replaces it. */
export interface RequestRules {
  /** By name; an unknown name means priority 0 and no targets. */
  readonly objectives?: ReadonlyMap<string, Objective> | undefined;
  readonly rewriteModel?: RewriteModel | undefined;
  /** Names of its making, for lists of models. */
  readonly modelAliases?: readonly ModelAlias[] | undefined;
  /** Names the tenant, in lower case, where the usual headers do not. */
  readonly tenantHeader?: string | undefined;
}

export type ParseOptions = PromptOptions & RequestRules;

export interface ParsedRequest {
  /** With the model that the engine is to serve. */
  readonly request: InferenceRequest;
  readonly api: ApiName;
  /** Undefined when the body goes on as it came. */
  readonly rewrite: RewrittenModel | undefined;
  /** Our own parser has failed: the request is known by its headers only. */
  readonly parserFault?: string | undefined;
}

export interface RewrittenModel {
  /** What the client calls the model; undefined if it named none. */
  readonly clientModel: string | undefined;
  /** What the engine calls it. */
  readonly model: string;
  /** The body to send, as pieces. */
  readonly body: readonly Buffer[];
}

/** Throws a `ServiceError`: `invalid_json`, or `invalid_request` with the field at fault as `param`. */
export function parseInferenceRequest(http: HttpRequest, options: ParseOptions): ParsedRequest {
  const { api, model: pathModel } = apiOf(http.path);
  const { body } = http;
  const scan = scanBody(body, api);
  const hasModel = api.model === 'required' || api.model === 'optional';
  const named =
    hasModel && body !== undefined && scan !== undefined ? readModelName(body, scan, api) : undefined;

  const rewrite = hasModel ? rewriteModel(http, api, scan, named, options) : undefined;
  const model = pathModel ?? rewrite?.model ?? named?.text;
  if (model === undefined && scan !== undefined && api.model === 'required') throw missingModel();
  if (body !== undefined && scan !== undefined && api.body === 'json_object') checkFields(body, scan, api);
  const prompt = body === undefined ? undefined : readPrompt(body, scan, api, model, options);
  const isStreaming =
    api.alwaysStreams || (body !== undefined && scan !== undefined && asksForStream(body, scan));
  const request: InferenceRequest = {
    ...requestOfHeaders(http, options),
    model,
    requestedModel: pathModel ?? named?.text,
    promptTokens: prompt?.tokens ?? 0,
    prefix: prompt?.prefix ?? emptyPrefix,
    isStreaming,
  };
  return { request, api: api.name, rewrite };
}

/**
 * The same, but a fault of our own costs only the knowledge of the body: the request is placed by its headers,
 * and the engine judges what we could not read.
 */
export function parseOrReadHeaders(http: HttpRequest, options: ParseOptions): ParsedRequest {
  try {
    return parseInferenceRequest(http, options);
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    const { api } = apiOf(http.path);
    return {
      request: requestOfHeaders(http, options),
      api: api.name,
      rewrite: undefined,
      parserFault: String(error),
    };
  }
}

/**
 * A header of an earlier stage names the model before the body does; then the rules have their say. Only a body
 * that can carry the new name is rewritten, and one without a name gets one from a generic rule alone.
 */
function rewriteModel(
  { headers, body }: HttpRequest,
  api: Api,
  scan: JsonScan | undefined,
  named: { readonly text: string; readonly range: JsonRange } | undefined,
  options: ParseOptions,
): RewrittenModel | undefined {
  if (body === undefined || scan === undefined) return undefined;
  if (api.name === 'other' && named === undefined) return undefined;
  const clientModel = named?.text;
  const wanted = clientModel === undefined ? undefined : firstHeader(headers, requestHeaders.modelRewrite);
  const model = options.rewriteModel?.(wanted ?? clientModel) ?? wanted;
  if (model === undefined || model === clientModel) return undefined;
  return { clientModel, model, body: spliceModel(body, scan, named?.range, model) };
}

function requestOfHeaders(
  { id, headers, body }: HttpRequest,
  { objectives, tenantHeader }: ParseOptions,
): InferenceRequest {
  const objective = objectives?.get(firstHeader(headers, requestHeaders.objective) ?? '');
  return {
    id,
    model: undefined,
    requestedModel: undefined,
    priority: objective?.priority ?? 0,
    tenant: readTenant(headers, tenantHeader),
    headers,
    promptTokens: 0,
    bodyBytes: body?.length ?? 0,
    prefix: emptyPrefix,
    isStreaming: false,
    slo: {
      ...objective?.slo,
      ttftMs: positiveNumber(firstHeader(headers, requestHeaders.ttftSloMs)) ?? objective?.slo?.ttftMs,
      tpotMs: positiveNumber(firstHeader(headers, requestHeaders.tpotSloMs)) ?? objective?.slo?.tpotMs,
    },
  };
}

/** Requests that name no tenant share this one; logs leave it out. */
export const defaultTenant = '';

/** Longer names are cut: a tenant is a key of queues. */
const longestTenant = 128;

function readTenant(headers: ReadonlyMap<string, string>, ownHeader: string | undefined): string {
  const names = ownHeader === undefined ? requestHeaders.tenant : [...requestHeaders.tenant, ownHeader];
  return (firstHeader(headers, names) ?? defaultTenant).slice(0, longestTenant);
}

function positiveNumber(text: string | undefined): number | undefined {
  const value = text === undefined ? Number.NaN : Number(text);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}
