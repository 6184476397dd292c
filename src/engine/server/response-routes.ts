import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import { invalid } from './request-fields.ts';
import type { ResponsesEvent } from './response-events.ts';
import type { ServerContext } from './server-context.ts';
import { clientGone } from './server-context.ts';
import type { StoredResponses } from './stored-responses.ts';
import { namedStream, streamEvents } from './stream-events.ts';

/** `GET` and `DELETE /v1/responses/{id}`, and `POST /v1/responses/{id}/cancel`, of stored responses. */
export function addResponseRoutes(app: FastifyInstance, { responses: stored }: ServerContext): void {
  type WithId = { Params: { id: string }; Querystring: Record<string, unknown> };
  const find = () => {
    if (stored !== undefined) return stored;
    throw new ServiceError('not_found', 'This engine was started without --enable-responses-store.');
  };
  app.get<WithId>('/v1/responses/:id', async (request, reply) => {
    const { id } = request.params;
    const store = find();
    if (request.query['stream'] === 'true') return followed(store, id, request, reply);
    return store.running(id)?.object ?? store.get(id).response;
  });
  app.delete<WithId>('/v1/responses/:id', async ({ params }) => {
    find().delete(params.id);
    return { id: params.id, object: 'response', deleted: true };
  });
  app.post<WithId>('/v1/responses/:id/cancel', async ({ params }) => {
    const running = find().running(params.id);
    if (running !== undefined) {
      running.cancel();
      return running.object;
    }
    find().get(params.id);
    throw invalid('Cannot cancel a synchronous response.', 'response_id');
  });
}

/** The events of a response in the background after `starting_after`, those to come, too. */
function followed(
  store: StoredResponses,
  id: string,
  { query }: FastifyRequest<{ Querystring: Record<string, unknown> }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const after = query['starting_after'] === undefined ? -1 : Number(query['starting_after']);
  if (!Number.isSafeInteger(after) || after < -1)
    throw invalid('starting_after must be the sequence_number of an event.', 'starting_after');
  const { signal } = clientGone(reply);
  const running = store.running(id);
  const kept = running === undefined ? store.get(id).events : running.events;
  if (kept === undefined)
    throw invalid('Only a response made with "background" and "stream" can be streamed again.', 'stream');
  const events = running?.follow(after, signal) ?? iterate(kept.slice(after + 1));
  return streamEvents(reply, signal, events, namedStream('openai-responses'));
}

async function* iterate(events: readonly ResponsesEvent[]): AsyncGenerator<ResponsesEvent> {
  yield* events;
}
