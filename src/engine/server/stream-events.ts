import type { FastifyReply } from 'fastify';
import { ServiceError } from '../../protocol/errors.ts';
import { clientError, vllmErrorBody } from './error-body.ts';
import type { SseWriter } from './sse-writer.ts';
import { startSse } from './sse-writer.ts';

/**
 * Sends events as they come, then `[DONE]`. The response begins with the first event: what fails before that
 * has its own status; what fails later becomes an `error` event.
 */
export async function streamEvents(
  reply: FastifyReply,
  signal: AbortSignal,
  events: AsyncIterable<unknown>,
): Promise<FastifyReply> {
  let writer: SseWriter | undefined;
  try {
    for await (const event of events) {
      if (writer === undefined) {
        reply.hijack();
        writer = startSse(reply.raw, signal);
      }
      await writer.send(event);
      if (signal.aborted) break;
    }
  } catch (error) {
    if (writer === undefined) throw error;
    reply.log.error({ err: error }, 'a stream broke');
    await writer.send(
      vllmErrorBody(
        clientError(error) ?? new ServiceError('internal', 'The engine failed during the answer.'),
      ),
    );
  }
  if (writer === undefined) reply.hijack();
  writer?.end();
  return reply;
}
