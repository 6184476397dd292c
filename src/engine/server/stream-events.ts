import type { FastifyReply } from 'fastify';
import { errorEvent } from '../../protocol/error-dialects.ts';
import { ServiceError } from '../../protocol/errors.ts';
import { clientError, vllmErrorBody } from './error-body.ts';
import type { SseWriter } from './sse-writer.ts';
import { startSse } from './sse-writer.ts';

/** How an API writes its events. */
export interface StreamStyle<Event> {
  event(event: Event): string;
  /** The last event of a stream that broke. */
  error(error: ServiceError): string;
  readonly end: string;
}

/** OpenAI's completions and chat: data alone, and a mark at the end. */
export const plainStream: StreamStyle<unknown> = {
  event: (event) => `data: ${JSON.stringify(event)}\n\n`,
  error: (error) => `data: ${JSON.stringify(vllmErrorBody(error))}\n\n`,
  end: 'data: [DONE]\n\n',
};

/** Events that carry their names, as Anthropic's and those of the Responses API. */
export function namedStream(
  dialect: 'anthropic' | 'openai-responses',
): StreamStyle<{ readonly type: string }> {
  return {
    event: (event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
    error: (error) => errorEvent(dialect, error),
    end: '',
  };
}

/**
 * Sends events as they come, then the end. The response begins with the first event: what fails before that
 * has its own status; what fails later becomes an error event.
 */
export async function streamEvents<Event>(
  reply: FastifyReply,
  signal: AbortSignal,
  events: AsyncIterable<Event>,
  style: StreamStyle<Event>,
): Promise<FastifyReply> {
  let writer: SseWriter | undefined;
  try {
    for await (const event of events) {
      if (writer === undefined) {
        reply.hijack();
        writer = startSse(reply.raw, signal);
      }
      const caughtUp = writer.send(style.event(event));
      if (caughtUp !== undefined) await caughtUp;
      if (signal.aborted) break;
    }
  } catch (error) {
    if (writer === undefined) throw error;
    reply.log.error({ err: error }, 'a stream broke');
    await writer.send(
      style.error(clientError(error) ?? new ServiceError('internal', 'The engine failed during the answer.')),
    );
  }
  if (writer === undefined) reply.hijack();
  writer?.end(style.end);
  return reply;
}
