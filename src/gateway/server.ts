import Fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from 'fastify';
import { ServiceError, toServiceError } from '../protocol/errors.ts';
import { isJsonType, mediaType } from '../protocol/media-type.ts';
import type { RunningServer } from '../protocol/running-server.ts';
import { ActiveRequests } from './active-requests.ts';
import { apiKeyCheck } from './api-keys.ts';
import { replyError } from './error-reply.ts';
import { type ExchangeCollaborators, serveExchange } from './exchange.ts';
import {
  defaultLimits,
  defaultTimeouts,
  type GatewayLimits,
  type GatewayOptions,
} from './gateway-options.ts';
import { answerMalformedRequest } from './malformed-request.ts';
import { addOwnRoutes } from './own-routes.ts';
import { requestIdOf } from './request-id.ts';
import { allowedMethods, inferencePaths, isProbe, modelPaths, pathList, pathOf } from './routes.ts';
import { Upstreams } from './upstreams.ts';

/** A slow client may not hold a connection open with an unfinished request for longer, milliseconds. */
const longestHeadersMs = 20_000;
const longestRequestMs = 120_000;

/** How long `close` waits for open requests unless told otherwise, milliseconds. */
const usualDeadlineMs = 30_000;

/** How long last error events may take to leave after the deadline, milliseconds. */
const flushMs = 250;

/** Serves the OpenAI-compatible API over HTTP/1.1. Resolves once it listens. */
export async function serveGateway(options: GatewayOptions): Promise<RunningServer> {
  const limits: GatewayLimits = { ...defaultLimits, ...options.limits };
  const timeouts = { ...defaultTimeouts, ...options.timeouts };
  const active = new ActiveRequests({ limit: limits.maxConcurrentRequests });
  const upstreams = new Upstreams(timeouts);
  let isClosing = false;
  const isDraining = () => isClosing || options.isDraining?.() === true;

  const app = createApp(limits);
  guard(app, options.apiKeys);
  answerErrors(app, options, limits);
  addOwnRoutes(app, {
    picker: options.picker,
    aliases: () => options.rules?.().modelAliases ?? [],
    metricsText: options.metricsText,
    isDraining,
    startedAtSeconds: Math.floor(Date.now() / 1000),
  });
  addInferenceRoutes(app, {
    picker: options.picker,
    upstreams,
    active,
    log: options.log,
    parseOptions: () => ({
      blockTokens: limits.blockTokens,
      maxPrefixTokens: limits.maxPrefixTokens,
      ...options.rules?.(),
    }),
    onRefused: (code) => options.onRefused?.(code),
    explains: options.explains ?? true,
    hasOwnKeys: (options.apiKeys?.length ?? 0) > 0,
    stallMs: timeouts.idleMs,
    isDraining,
  });

  await app.listen({ host: options.host, port: options.port });
  const bound = app.server.address();
  if (bound === null || typeof bound === 'string') throw new Error('expected a TCP address');
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;

  async function close(deadlineMs: number): Promise<void> {
    isClosing = true;
    const closed = app.close();
    await active.idle(deadlineMs);
    active.cutAll(new ServiceError('shutting_down', 'The gateway is shutting down; try another one.'));
    await active.idle(flushMs);
    app.server.closeAllConnections();
    await closed;
    await upstreams.close();
  }

  let closing: Promise<void> | undefined;
  return {
    address: `${host}:${bound.port}`,
    port: bound.port,
    close: (deadlineMs = usualDeadlineMs) => {
      closing ??= close(deadlineMs);
      return closing;
    },
  };
}

function createApp({ maxBodyBytes }: GatewayLimits): FastifyInstance {
  const app = Fastify({
    bodyLimit: maxBodyBytes,
    requestTimeout: longestRequestMs,
    http: {
      headersTimeout: longestHeadersMs,
      requireHostHeader: false, // its answer would not be JSON
      keepAlive: true, // TCP probes find clients that have vanished
    },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    genReqId: requestIdOf,
    clientErrorHandler: answerMalformedRequest,
    frameworkErrors: (error, request, reply) => {
      reply.hijack();
      replyError(reply.raw, fromFastify(error, maxBodyBytes), { requestId: request.id });
    },
  });
  // Bodies stay bytes; whether they are JSON is told with a place by the parser of inference requests.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  return app;
}

function guard(app: FastifyInstance, apiKeys: readonly string[] | undefined): void {
  const check = apiKeyCheck(apiKeys);
  if (check === undefined) return;
  app.addHook('onRequest', (request, _reply, done) => {
    if (!isProbe(pathOf(request.raw.url ?? ''))) check(request.raw.headers);
    done();
  });
}

function addInferenceRoutes(app: FastifyInstance, collaborators: ExchangeCollaborators): void {
  for (const path of [...inferencePaths, ...modelPaths]) {
    app.route<{ Body: Buffer | undefined }>({
      method: 'POST',
      url: path,
      onRequest: (request, reply, done) => {
        checkRepresentation(request);
        collaborators.active.open(reply.raw);
        done();
      },
      handler: (request, reply) => {
        reply.hijack();
        void serveExchange(collaborators, {
          incoming: request.raw,
          response: reply.raw,
          requestId: request.id,
          body: request.body ?? Buffer.alloc(0),
        });
      },
    });
  }
}

/** JSON, not compressed: anything else could not be read here. A missing type is taken to be JSON. */
function checkRepresentation({ raw: { headers } }: FastifyRequest): void {
  const type = mediaType(headers['content-type']);
  if (type !== '' && !isJsonType(type)) {
    throw unsupported(`Expected "content-type: application/json", found "${type}".`);
  }
  const coding = headers['content-encoding'];
  if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
    throw unsupported(`Expected a body without compression, found "content-encoding: ${coding}".`);
  }
}

function answerErrors(
  app: FastifyInstance,
  { log, onRefused }: GatewayOptions,
  { maxBodyBytes }: GatewayLimits,
): void {
  app.setErrorHandler((thrown: FastifyError, request, reply) => {
    const error = fromFastify(thrown, maxBodyBytes);
    if (request.method === 'POST') onRefused?.(error.code);
    if (error.code === 'internal') {
      log.error({ err: error.cause, requestId: request.id }, 'request failed unexpectedly');
    }
    reply.hijack();
    replyError(reply.raw, error, { requestId: request.id });
  });
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request.raw.url ?? '');
    const allowed = allowedMethods(path);
    const error =
      allowed === undefined
        ? new ServiceError('not_found', `There is no ${request.method} ${path} here. There are: ${pathList}.`)
        : new ServiceError('method_not_allowed', `Expected ${allowed} for ${path}, found ${request.method}.`);
    reply.hijack();
    replyError(reply.raw, error, {
      requestId: request.id,
      headers: allowed === undefined ? {} : { allow: allowed },
    });
  });
}

function fromFastify(error: FastifyError | ServiceError, maxBodyBytes: number): ServiceError {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ServiceError(
        'request_too_large',
        `Expected a body of at most ${maxBodyBytes} bytes, found more. Shorten the request, or raise gateway.maxBodyBytes in the configuration.`,
      );
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return unsupported('Expected "content-type: application/json", found a type that cannot be read.');
    case 'FST_ERR_BAD_URL':
      return new ServiceError('invalid_request', 'The path is not a valid URL path.');
    default:
      return 'statusCode' in error && error.statusCode !== undefined && error.statusCode < 500
        ? new ServiceError('invalid_request', error.message, { cause: error })
        : toServiceError(error);
  }
}

function unsupported(message: string): ServiceError {
  return new ServiceError('unsupported_media_type', message);
}
