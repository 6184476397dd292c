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
