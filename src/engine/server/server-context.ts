import type { FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import type { PromptEncoder, Tokenizer } from '../../tokenizer/index.ts';
import type { EngineClient } from '../engine-client.ts';
import type { ReasoningFormat, ToolCallFormat } from '../output-parsers/index.ts';
import type { PoolingConfig } from '../pooling-config.ts';
import type { EngineMetrics } from './engine-metrics.ts';
import type { GenerationLimits } from './generation-options.ts';
import type { RequestBody } from './request-fields.ts';
import { clipped, readString } from './request-fields.ts';
import type { ServedAdapters } from './served-adapters.ts';
import type { StoredResponses } from './stored-responses.ts';

/** How this model marks what it writes; absent: everything is content. */
export interface OutputFormats {
  readonly toolCalls: ToolCallFormat | undefined;
  readonly reasoning: ReasoningFormat | undefined;
}

export interface ChatDefaults {
  /** Requests may bring a chat template of their own, which can loop for ever. */
  readonly trustsRequestTemplates: boolean;
  /** Of the template, below those of the request. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** What the routes share. Fixed while the server runs. */
export interface ServerContext {
  readonly engine: EngineClient;
  readonly tokenizer: Tokenizer;
  /** Without a chat template chat is refused. */
  readonly prompts: PromptEncoder;
  readonly outputFormats: OutputFormats;
  readonly chat: ChatDefaults;
  readonly metrics: EngineMetrics;
  /** At least one; requests may use any. */
  readonly modelNames: readonly string[];
  readonly modelPath: string;
  /** Requests may name these, too. */
  readonly adapters: ServedAdapters;
  readonly limits: GenerationLimits;
  readonly pooling: PoolingConfig;
  /** Absent: nothing is stored. */
  readonly responses: StoredResponses | undefined;
  readonly hasSleepMode: boolean;
  /** Answers bear `X-Request-Id`. */
  readonly hasRequestIdHeaders: boolean;
  /** Tokens per event of a stream, the first and the last aside. */
  readonly streamInterval: number;
  readonly version: string;
  /** Seconds since 1970. */
  readonly createdSeconds: number;
  /** Requests in generating endpoints now. */
  load: number;
  isClosing: boolean;
}

/** The model name of the answer; a request may leave it out. */
export function resolveModel({ modelNames, adapters }: ServerContext, body: RequestBody): string {
  const model = readString(body, 'model');
  if (model === undefined || model === '') return modelNames[0]!;
  if (modelNames.includes(model) || adapters.has(model)) return model;
  throw new ServiceError('model_not_found', `The model \`${clipped(model)}\` does not exist.`, {
    param: 'model',
  });
}

/** The adapter that a model name stands for; undefined: the model itself. */
export function adapterOf({ adapters }: ServerContext, model: string): string | undefined {
  return adapters.has(model) ? model : undefined;
}

/** Fires when the client goes away before its answer is complete. */
export function clientGone(reply: FastifyReply): AbortController {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller;
}

/** From `X-Request-Id` when sent, else the server's own id of the request. */
export function requestIdOf(request: FastifyRequest): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && given !== '' ? given : request.id;
}

/** The prefix, such as `chatcmpl-`, and the id of the request: the header's, the body's `request_id` or our own. */
export function answerId(prefix: string, request: FastifyRequest): string {
  const body = request.body as RequestBody | undefined;
  const named = request.headers['x-request-id'] === undefined && readString(body ?? {}, 'request_id');
  return `${prefix}${named || requestIdOf(request)}`;
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
