import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Assignment, EndpointPicker } from '../endpoint-picker/assignment.ts';
import { explanation } from '../endpoint-picker/explain.ts';
import {
  type ParsedRequest,
  type ParseOptions,
  parseOrReadHeaders,
  type RewrittenModel,
} from '../endpoint-picker/inference-request.ts';
import { apiOf } from '../protocol/apis.ts';
import { ServiceError, toServiceError } from '../protocol/errors.ts';
import { explainHeader } from '../protocol/headers.ts';
import type { Log } from '../telemetry/log.ts';
import type { ActiveRequest, ActiveRequests } from './active-requests.ts';
import { replyError } from './error-reply.ts';
import { forwardedRequestHeaders } from './forwarded-headers.ts';
import { Forwarding } from './forwarding.ts';
import { Relay } from './relay.ts';
import { clientRequestId } from './request-id.ts';
import type { Upstreams } from './upstreams.ts';

export interface ExchangeCollaborators {
  readonly picker: EndpointPicker;
  readonly upstreams: Upstreams;
  readonly active: ActiveRequests;
  readonly log: Log;
  readonly parseOptions: () => ParseOptions;
  /** Told the code of each request that was refused before the picker was asked. */
  readonly onRefused: (code: string) => void;
  readonly hasOwnKeys: boolean;
  /** Answers `x-pointsman-explain`. */
  readonly explains: boolean;
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
  let isCut = false;
  const active = actives.add((error) => {
    isCut = true;
    fail(error);
    stopPicking();
  });
  response.once('close', () => actives.remove(active));
  let parsed: ParsedRequest;
  try {
    parsed = parse(client, collaborators.parseOptions());
  } catch (error) {
    collaborators.onRefused(toServiceError(error).code);
    fail(error);
    return;
  }
  try {
    const { request, rewrite, parserFault } = parsed;
    const assignment = await collaborators.picker.pick(request, { signal: picking.signal, parserFault });
    response.off('close', stopPicking);
    if (picking.signal.aborted) assignment.finish({ kind: isCut ? 'cut_at_shutdown' : 'client_aborted' });
    else active.cut = forward(collaborators, client, { assignment, rewrite, fail });
  } catch (error) {
    fail(error);
  }
}

function parse({ incoming, requestId, body }: ClientRequest, options: ParseOptions): ParsedRequest {
  return parseOrReadHeaders(
    {
      id: clientRequestId(incoming) === undefined ? requestId : randomUUID(),
      method: 'POST',
      path: incoming.url ?? '/',
      headers: headerMap(incoming),
      body,
    },
    options,
  );
}

interface PickedRequest {
  readonly assignment: Assignment;
  readonly rewrite: RewrittenModel | undefined;
  readonly fail: (error: unknown) => void;
}

/** Returns how to end the request from then on. */
function forward(
  collaborators: ExchangeCollaborators,
  { incoming, response, requestId, body }: ClientRequest,
  { assignment, rewrite, fail }: PickedRequest,
): ActiveRequest['cut'] {
  const { upstreams, hasOwnKeys, stallMs, explains } = collaborators;
  const path = incoming.url ?? '/';
  const relay = new Relay({
    response,
    requestId,
    dialect: apiOf(path).api.dialect,
    stallMs,
    onDrain: () => forwarding.resume(),
  });
  const wantsExplanation = explains && incoming.headers[explainHeader] === 'true';
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
      body: rewrite === undefined ? body : Buffer.concat(rewrite.body),
    },
    modelNames: rewrite,
    extraHeaders: () => [
      ...Object.entries(connectionHeaders(collaborators)).flat(),
      ...(wantsExplanation ? explanation(assignment).flat() : []),
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

/** Repeated headers are joined with a comma, as Node does for all but a few. */
function headerMap({ headers }: IncomingMessage): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) map.set(name, typeof value === 'string' ? value : value.join(', '));
  }
  return map;
}
