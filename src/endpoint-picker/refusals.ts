import { ServiceError } from '../protocol/errors.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { EndpointList } from '../scheduling/endpoint-list.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';

/** Names in messages; a fleet of a hundred must not make a page of text. */
const longestList = 8;

/** Throws `model_not_found` if every ready endpoint has told its models and none of them has this one. */
export function checkModel(model: string | undefined, endpoints: EndpointList): void {
  if (model === undefined) return;
  const serves = ({ isReady, models }: Endpoint) =>
    isReady && (models.length === 0 || models.includes(model));
  if (endpoints.some(serves)) return;
  const known = listModels(endpoints).map(({ id }) => id);
  throw new ServiceError(
    'model_not_found',
    `The model \`${model}\` does not exist here. Models that can be used: ${shorten(known, ', ')}.`,
    { param: 'model' },
  );
}

/** Models of ready endpoints, sorted, each with the names of its endpoints. */
export function listModels(endpoints: Iterable<Endpoint>): { id: string; endpoints: string[] }[] {
  const byModel = new Map<string, string[]>();
  for (const { isReady, models, name } of endpoints) {
    if (!isReady) continue;
    for (const model of models) {
      const names = byModel.get(model);
      if (names === undefined) byModel.set(model, [name]);
      else names.push(name);
    }
  }
  return [...byModel].map(([id, names]) => ({ id, endpoints: names })).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** None of these endpoints can take a request; the message tells why each is out. */
export function noEndpoints(endpoints: readonly Endpoint[], record?: SchedulingResult): ServiceError {
  if (endpoints.length === 0) {
    return new ServiceError('no_endpoints', 'The pool has no endpoints; check the discovery configuration.');
  }
  const filterOf = new Map<string, string>();
  for (const { filter, removed } of record?.filters ?? []) {
    for (const name of removed) filterOf.set(name, filter);
  }
  const reasons = endpoints.map(({ name, notReadyReason }) => {
    return `${name}: ${notReadyReason ?? `removed by filter ${filterOf.get(name) ?? 'unknown'}`}`;
  });
  return new ServiceError(
    'no_endpoints',
    `None of ${count(endpoints.length)} can take the request. ${shorten(reasons, '; ')}.`,
  );
}

/** The caller's subset names no endpoint of the pool. */
export function noCandidates(subset: readonly string[], endpoints: readonly Endpoint[]): ServiceError {
  const wanted = subset.length === 0 ? 'is empty' : `(${shorten(subset, ', ')}) names none`;
  return new ServiceError(
    'no_endpoints',
    `The requested subset ${wanted} of ${count(endpoints.length)} in the pool.`,
  );
}

function count(endpoints: number): string {
  return endpoints === 1 ? 'the 1 endpoint' : `the ${endpoints} endpoints`;
}

function shorten(items: readonly string[], separator: string): string {
  const shown = items.slice(0, longestList).join(separator);
  const more = items.length - longestList;
  return more > 0 ? `${shown}${separator}and ${more} more` : shown;
}
