/** The paths of the gateway: one table for routing, for 404 and for 405. */
import { apiOf } from '../protocol/apis.ts';

/** Forwarded to an engine that the picker chooses. */
export const inferencePaths = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/responses/input_tokens',
  '/v1/responses/compact',
  '/v1/conversations',
  '/v1/images/generations',
  '/v1/messages',
  '/v1/messages/count_tokens',
  '/v1/chat/completions/render',
  '/v1/completions/render',
  '/inference/v1/generate',
  '/generate',
  '/pooling',
  '/classify',
  '/score',
  '/v1/score',
  '/rerank',
  '/v1/rerank',
  '/v2/rerank',
  '/tokenize',
  '/detokenize',
] as const;

/** The same, with the model in the path. */
export const modelPaths = [
  '/v2/models/:model/infer',
  '/v2/models/:model/versions/:version/infer',
  '/v2/models/:model/generate',
  '/v2/models/:model/generate_stream',
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
  ...[...inferencePaths, ...modelPaths].map((path) => `POST ${path.replaceAll(/:(\w+)/g, '{$1}')}`),
  ...ownPaths.map((path) => `GET ${path}`),
].join(', ');

/** The `Allow` value of a known path; undefined for a path that does not exist. */
export function allowedMethods(path: string): string | undefined {
  if (knownInferencePaths.has(path) || apiOf(path).model !== undefined) return 'POST';
  return knownOwnPaths.has(path) || path.startsWith(`${modelsPath}/`) ? 'GET, HEAD' : undefined;
}

export function isProbe(path: string): boolean {
  return path === healthPath || path === readyPath;
}

/** The path of a request target, without its query. */
export function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}
