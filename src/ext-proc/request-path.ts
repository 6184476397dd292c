import { apiOf } from '../protocol/apis.ts';
import type { ErrorDialect } from '../protocol/error-dialects.ts';
import { JsonSyntaxError, scanJson } from '../protocol/json-scan.ts';
import type { Headers } from './messages.ts';

const pathHeaders = [':path', 'x-original-path', 'x-forwarded-path'];

/** Which field of a body gives its API away. */
const pathByField: readonly (readonly [field: string, path: string])[] = [
  ['messages', '/v1/chat/completions'],
  ['prompt', '/v1/completions'],
  ['input', '/v1/responses'],
];
const fields: ReadonlySet<string> = new Set(pathByField.map(([field]) => field));

/** The shape of errors for this client; without a path, one of Anthropic's libraries gives itself away. */
export function errorDialectOf(headers: Headers): ErrorDialect {
  if (!pathHeaders.some((name) => headers.get(name)) && headers.has('anthropic-version')) return 'anthropic';
  return apiOf(requestPath(headers, undefined)).api.dialect;
}

const defaultPath = '/v1/completions';

/** NGINX Gateway Fabric sends no pseudo-headers; the path is then what a proxy noted, or a guess from the body. */
export function requestPath(headers: Headers, body: Buffer | undefined): string {
  for (const name of pathHeaders) {
    const path = headers.get(name);
    if (path) return path;
  }
  return body === undefined ? defaultPath : pathOfBody(body);
}

function pathOfBody(body: Buffer): string {
  try {
    const { members } = scanJson(body, { keys: fields });
    return pathByField.find(([field]) => members.has(field))?.[1] ?? defaultPath;
  } catch (error) {
    // Whatever reads the request next tells what is wrong with its body.
    if (error instanceof JsonSyntaxError) return defaultPath;
    throw error;
  }
}
