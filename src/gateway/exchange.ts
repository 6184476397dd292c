import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Assignment, EndpointPicker } from '../endpoint-picker/assignment.ts';
import { type ParseOptions, parseInferenceRequest } from '../endpoint-picker/inference-request.ts';
import { ServiceError, toServiceError } from '../protocol/errors.ts';
import { decisionHeader, explainHeader } from '../protocol/headers.ts';
import type { Log } from '../telemetry/log.ts';
import type { ActiveRequest, ActiveRequests } from './active-requests.ts';
import { replyError } from './error-reply.ts';
import { explainDecision, servedByHeader } from './explain.ts';
import { forwardedRequestHeaders } from './forwarded-headers.ts';
import { Forwarding } from './forwarding.ts';
import { Relay } from './relay.ts';
import { clientRequestId } from './request-id.ts';
import { dialectOf, pathOf } from './routes.ts';
import type { Upstreams } from './upstreams.ts';

export interface ExchangeCollaborators {
  readonly picker: EndpointPicker;
  readonly upstreams: Upstreams;
  readonly active: ActiveRequests;
  readonly log: Log;
  readonly parseOptions: () => ParseOptions;
  readonly hasOwnKeys: boolean;
  readonly stallMs: number;
  readonly isDraining: () => boolean;
}

/** One for all: making an error for each would cost more than the rest of an abort. */
const clientHasGone = new ServiceError('client_closed', 'The client has closed the request.');

export interface ClientRequest {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  /** As echoed to the client. */
  readonly requestId: string;
  readonly body: Buffer;
}

/**
 * Serves one inference request from its body to the last byte of its answer: parse, pick, forward, relay.
 * Never rejects: every error ends as an answer to the client.
 */
export async function serveExchange(
  collaborators: ExchangeCollaborators,
  client: ClientRequest,
): Promise<void> {
  const { active: actives, log } = collaborators;
  const { response, requestId } = client;
  if (response.destroyed) return; // its close has been told already
  const picking = new AbortController();
  const stopPicking = () => picking.abort(clientHasGone);
  response.once('close', stopPicking);
  const fail = (error: unknown) => {
    const known = toServiceError(error);
    if (known.code === 'internal') log.error({ err: known.cause, requestId }, 'request failed unexpectedly');
    replyError(response, known, { requestId, headers: connectionHeaders(collaborators) });
  };
  const active = actives.add((error) => {
    fail(error);
    stopPicking();
  });
  response.once('close', () => actives.remove(active));
  try {
    const { request } = parseInferenceRequest(
      {
        id: clientRequestId(client.incoming) === undefined ? requestId : randomUUID(),
        method: 'POST',
        path: client.incoming.url ?? '/',
        headers: headerMap(client.incoming),
        body: client.body,
      },
      collaborators.parseOptions(),
    );
    const assignment = await collaborators.picker.pick(request, { signal: picking.signal });
    response.off('close', stopPicking);
    if (picking.signal.aborted) assignment.finish({ kind: 'client_aborted' });
    else active.cut = forward(collaborators, client, assignment, fail);
  } catch (error) {
    fail(error);
  }
}

/** Returns how to end the request from then on. */
function forward(
  collaborators: ExchangeCollaborators,
  { incoming, response, requestId, body }: ClientRequest,
  assignment: Assignment,
  fail: (error: unknown) => void,
): ActiveRequest['cut'] {
  const { upstreams, hasOwnKeys, stallMs } = collaborators;
  const path = incoming.url ?? '/';
  const relay = new Relay({
    response,
    requestId,
    dialect: dialectOf(pathOf(path)),
    stallMs,
    onDrain: () => forwarding.resume(),
  });
  const wantsExplanation = incoming.headers[explainHeader] === 'true';
  const forwarding = new Forwarding({
    assignment,
    upstreams,
    relay,
    request: {
      method: 'POST',
      path,
      headers: forwardedRequestHeaders(incoming.rawHeaders, incoming.headers.connection, {
        requestId,
        hasOwnKeys,
      }),
      body,
    },
    extraHeaders: () => [
      ...Object.entries(connectionHeaders(collaborators)).flat(),
      ...(wantsExplanation ? explanation(assignment) : []),
    ],
    onFailed: fail,
  });
  response.once('close', () => {
    relay.release();
    forwarding.abort();
  });
  forwarding.start();
  return (error) => forwarding.cut(error);
}

/** Tells a client of a process that is about to stop to open another connection for its next request. */
function connectionHeaders({ isDraining }: ExchangeCollaborators): Readonly<Record<string, string>> {
  return isDraining() ? { connection: 'close' } : {};
}

function explanation({ record, endpoint }: Assignment): string[] {
  return [servedByHeader, endpoint.name, decisionHeader, explainDecision(record, endpoint.name)];
}

/** Repeated headers are joined with a comma, as Node does for all but a few. */
function headerMap({ headers }: IncomingMessage): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) map.set(name, typeof value === 'string' ? value : value.join(', '));
  }
  return map;
}
