import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { ServiceError } from '../protocol/errors.ts';

/** Throws a `ServiceError` `unauthorized` unless the headers carry an accepted key. */
export type CheckApiKey = (headers: IncomingHttpHeaders) => void;

/** undefined when no keys are configured: then everyone is let in. */
export function apiKeyCheck(keys: readonly string[] | undefined): CheckApiKey | undefined {
  if (keys === undefined || keys.length === 0) return undefined;
  const accepted = keys.map(digest);
  return (headers) => {
    const key = presentedKey(headers);
    if (key === undefined) {
      throw new ServiceError(
        'unauthorized',
        'Expected an API key, found none. Send it as "authorization: Bearer <key>".',
      );
    }
    // Digests have one length, and every key is compared, so the time tells nothing of the keys.
    const presented = digest(key);
    let isAccepted = false;
    for (const candidate of accepted) {
      if (timingSafeEqual(candidate, presented)) isAccepted = true;
    }
    if (!isAccepted) {
      throw new ServiceError('unauthorized', 'The API key is not one of those this gateway accepts.');
    }
  };
}

/** `authorization: Bearer …` of OpenAI clients, or `x-api-key` of Anthropic's. */
function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const key = bearer ?? headers['x-api-key'];
  return typeof key === 'string' && key !== '' ? key : undefined;
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
