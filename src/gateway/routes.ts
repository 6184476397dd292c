/** The paths of the gateway: one table for routing, for 404 and for 405. */
import type { ErrorDialect } from '../protocol/error-dialects.ts';

/** Forwarded to an engine that the picker chooses. */
export const inferencePaths = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
  '/tokenize',
  '/detokenize',
] as const;

/** Open without a key, for probes. */
export const healthPath = '/health';
export const readyPath = '/ready';

export const metricsPath = '/metrics';
export const modelsPath = '/v1/models';

/** Answered by the gateway itself. */
const ownPaths = [modelsPath, `${modelsPath}/{model}`, healthPath, readyPath, metricsPath] as const;

const knownInferencePaths: ReadonlySet<string> = new Set(inferencePaths);
const knownOwnPaths: ReadonlySet<string> = new Set(ownPaths);

/** Every path with its method, for people. */
export const pathList = [
  ...inferencePaths.map((path) => `POST ${path}`),
  ...ownPaths.map((path) => `GET ${path}`),
].join(', ');

/** The `Allow` value of a known path; undefined for a path that does not exist. */
export function allowedMethods(path: string): string | undefined {
  if (knownInferencePaths.has(path)) return 'POST';
  return knownOwnPaths.has(path) || path.startsWith(`${modelsPath}/`) ? 'GET, HEAD' : undefined;
}

export function isProbe(path: string): boolean {
  return path === healthPath || path === readyPath;
}

export function dialectOf(path: string): ErrorDialect {
  if (path === '/v1/messages') return 'anthropic';
  return path === '/v1/responses' ? 'openai-responses' : 'openai';
}

/** The path of a request target, without its query. */
export function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}
