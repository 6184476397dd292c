import { randomUUID } from 'node:crypto';
import type { ServerOptions } from 'node:https';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fastify from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import type { Log } from '../../telemetry/index.ts';
import { allowOrigins, requireKey } from './access.ts';
import { chatCompletions } from './chat-completions.ts';
import { completions } from './completions.ts';
import { embeddings, pooling } from './embeddings.ts';
import { clientError, errorBodyFor } from './error-body.ts';
import { parseJson } from './json-text.ts';
import { addLoraRoutes } from './lora.ts';
import { countTokens, messages } from './messages.ts';
import { model, models } from './models.ts';
import { refuseNotServed } from './not-served.ts';
import { isGiven, readBody } from './request-fields.ts';
import { addResponseRoutes } from './response-routes.ts';
import { responses } from './responses.ts';
import { rerank, score } from './scores.ts';
import type { ServerContext } from './server-context.ts';
import { requestIdOf } from './server-context.ts';
import { addSleepRoutes } from './sleep.ts';
import { generateTokens, renderCompletion, renderMessages } from './token-endpoints.ts';
import { detokenize, tokenize } from './tokenize.ts';

export interface EngineServerOptions {
  readonly context: ServerContext;
  /** Empty: every request is served. */
  readonly apiKeys: readonly string[];
  readonly allowedOrigins: readonly string[] | undefined;
  /** Absent: plain HTTP. */
  readonly tls?: ServerOptions | undefined;
  readonly log: Log;
}

const bodyLimitBytes = 64 * 2 ** 20;

type Handler = (context: ServerContext, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/** All routes, not listening yet. */
export function createEngineServer({
  context,
  apiKeys,
  allowedOrigins,
  tls,
  log,
}: EngineServerOptions): FastifyInstance {
  const app = fastify({
    bodyLimit: bodyLimitBytes,
    genReqId: () => randomUUID().replaceAll('-', ''),
    logger: false,
    routerOptions: { ignoreTrailingSlash: true },
    frameworkErrors: (_, { url }, reply: FastifyReply) => {
      const answer = new ServiceError('invalid_request', 'The path is not a valid URL path.');
      void reply.code(400).type('application/json').send(errorBodyFor(url, answer));
    },
    // Routes see no difference, and neither do types then.
    ...(tls && { https: tls as unknown as null }),
  });
  // Among the usual ones is one for plain text, which would make a text of the body.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<string>(
    'application/json',
    { parseAs: 'string' },
    // An empty body is no body: `POST /reset_prefix_cache` needs none, whatever content type it claims.
    async (_: unknown, text: string) => (text === '' ? undefined : parseJson(text, 'The request body')),
  );
  // `curl -X POST -d ''` claims a form.
  app.addContentTypeParser('*', { parseAs: 'string' }, async (request: FastifyRequest, text: string) => {
    if (text === '') return undefined;
    const type = request.headers['content-type'];
    throw new ServiceError('unsupported_media_type', `Send the body as application/json, not as ${type}.`);
  });
  app.addHook('onResponse', async ({ method, routeOptions, headers }, reply) => {
    const { statusCode, elapsedTime } = reply;
    context.metrics.http.observe({
      method,
      statusCode,
      handler: routeOptions.url ?? 'none',
      seconds: elapsedTime / 1000,
      requestBytes: Number(headers['content-length'] ?? 0) || 0,
      responseBytes: Number(reply.getHeader('content-length') ?? 0) || 0,
    });
  });
  if (context.hasRequestIdHeaders)
    app.addHook('onRequest', async (request, reply) => {
      // On the raw response, because streams write their own headers.
      reply.raw.setHeader('x-request-id', requestIdOf(request));
    });
  allowOrigins(app, allowedOrigins);
  if (apiKeys.length > 0) app.addHook('onRequest', requireKey(apiKeys));
  app.addHook('onRequest', async ({ headers }) => {
    const coding = headers['content-encoding'] ?? 'identity';
    if (coding.trim().toLowerCase() !== 'identity')
      throw new ServiceError(
        'unsupported_media_type',
        `Send the body without compression; it has "content-encoding: ${coding}".`,
      );
  });
  app.setErrorHandler((error, request, reply) => {
    const known = clientError(error);
    if (known === undefined) log.error({ err: error, url: request.url }, 'a request failed');
    const answer =
      known ?? new ServiceError('internal', 'The engine met an unexpected error; its log has the details.');
    if (answer.retryAfterSeconds !== undefined) reply.header('retry-after', answer.retryAfterSeconds);
    return reply.code(answer.kind.status).type('application/json').send(errorBodyFor(request.url, answer));
  });
  app.setNotFoundHandler((request, reply) => {
    const { method } = request;
    const path = request.url.split('?')[0]!;
    const allowed = methodsOf(app, path).join(', ');
    // Pages that may not call are told of nothing.
    const isKnown = allowed !== '' && method !== 'OPTIONS';
    const answer = isKnown
      ? new ServiceError('method_not_allowed', `Expected ${allowed} for ${path}, found ${method}.`)
      : new ServiceError('not_found', `There is no ${method} ${path} here.`);
    if (isKnown) reply.header('allow', allowed);
    return reply.code(answer.kind.status).type('application/json').send(errorBodyFor(request.url, answer));
  });

  const generating = (handler: Handler) => async (request: FastifyRequest, reply: FastifyReply) => {
    if (context.isClosing)
      throw new ServiceError('shutting_down', 'This engine is shutting down; send the request elsewhere.');
    context.load++;
    const startedMs = performance.now();
    let outcome = 'ok';
    try {
      return await handler(context, request, reply);
    } catch (error) {
      outcome = clientError(error)?.code ?? 'internal';
      throw error;
    } finally {
      context.load--;
      const ms = Math.round(performance.now() - startedMs);
      log.info({ id: request.id, path: request.url, outcome, ms }, 'request');
    }
  };
  app.post('/v1/chat/completions', generating(chatCompletions));
  app.post('/v1/completions', generating(completions));
  app.post('/v1/embeddings', generating(embeddings));
  app.post('/pooling', generating(pooling));
  for (const path of ['/score', '/v1/score']) app.post(path, generating(score));
  for (const path of ['/rerank', '/v1/rerank', '/v2/rerank']) app.post(path, generating(rerank));
  app.post('/v1/responses', generating(responses));
  app.post('/v1/messages', generating(messages));
  app.post('/v1/messages/count_tokens', async (request) => countTokens(context, request));
  app.post('/inference/v1/generate', generating(generateTokens));
  // As hosts of models on SageMaker call it: the fields tell which endpoint is meant.
  app.post('/invocations', generating(invocations));
  app.post('/v1/completions/render', async (request) => renderCompletion(context, request));
  app.post('/v1/chat/completions/render', async (request) => renderMessages(context, request));
  refuseNotServed(app);
  app.post('/tokenize', async (request) => tokenize(context, request));
  app.post('/detokenize', async (request) => detokenize(context, request));
  app.get('/v1/models', async () => models(context));
  // Names may have slashes.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async ({ params }) => model(context, params['*']));
  addOperations(app, context);
  addLoraRoutes(app, context);
  addSleepRoutes(app, context);
  addResponseRoutes(app, context);
  return app;
}

function methodsOf(app: FastifyInstance, url: string): readonly string[] {
  return (['GET', 'HEAD', 'POST'] as const).filter((method) => app.hasRoute({ method, url }));
}

const invocations: Handler = (context, request, reply) => {
  const body = readBody(request.body);
  const meant: Handler = isGiven(body, 'messages')
    ? chatCompletions
    : isGiven(body, 'input')
      ? embeddings
      : completions;
  return meant(context, request, reply);
};

function addOperations(app: FastifyInstance, context: ServerContext): void {
  const { engine, metrics } = context;
  const health = async (_: FastifyRequest, reply: FastifyReply) =>
    reply.code(engine.isAlive && !context.isClosing ? 200 : 503).send();
  app.get('/health', health);
  app.get('/ping', health);
  app.post('/ping', health);
  app.get('/version', async () => ({ version: context.version }));
  app.get('/load', async () => ({ server_load: context.load }));
  app.get('/server_info', async () => ({
    version: context.version,
    model: context.modelPath,
    served_model_names: context.modelNames,
    ...engine.info,
    gauges: engine.gauges,
  }));
  app.post('/reset_prefix_cache', async () => ({ success: await engine.resetPrefixCache() }));
  app.get('/metrics', async (_, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.exposition()),
  );
}
