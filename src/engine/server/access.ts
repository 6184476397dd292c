import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';

const openPaths = new Set(['/health', '/ping', '/metrics']);

/** Refuses requests without one of the keys, but for probes and scrapers. */
export function requireKey(apiKeys: readonly string[]) {
  // Digests have one length, so the comparison takes the same time for every key.
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const expected = apiKeys.map(digest);
  return async (request: FastifyRequest) => {
    if (openPaths.has(request.url.split('?')[0] ?? '')) return;
    // Anthropic's clients send the key in a header of their own.
    const { authorization, 'x-api-key': key } = request.headers;
    const shown = /^Bearer +(.*)$/i.exec(authorization ?? '')?.[1] ?? key;
    if (typeof shown === 'string') {
      const given = digest(shown);
      if (expected.filter((each) => timingSafeEqual(given, each)).length > 0) return;
    }
    throw new ServiceError('unauthorized', 'Send the engine’s key as "Authorization: Bearer <key>".');
  };
}

/**
 * Lets pages of these origins call, `*` for any: the headers of CORS on every answer, and answers to the browser's
 * question before a request (https://fetch.spec.whatwg.org/#http-cors-protocol).
 */
export function allowOrigins(app: FastifyInstance, origins: readonly string[] = ['*']): void {
  const isAny = origins.includes('*');
  app.addHook('onRequest', async (request, reply) => {
    const { origin, 'access-control-request-method': method } = request.headers;
    if (origin === undefined || !(isAny || origins.includes(origin))) return;
    // On the raw response, because streams write their own headers.
    reply.raw.setHeader('access-control-allow-origin', isAny ? '*' : origin);
    reply.raw.setHeader('access-control-expose-headers', '*');
    if (!isAny) reply.raw.setHeader('vary', 'origin');
    if (request.method !== 'OPTIONS' || method === undefined) return;
    reply.raw.setHeader('access-control-allow-methods', 'GET, POST, DELETE');
    reply.raw.setHeader(
      'access-control-allow-headers',
      request.headers['access-control-request-headers'] ?? '*',
    );
    reply.raw.setHeader('access-control-max-age', '600');
    return reply.code(204).send();
  });
}
