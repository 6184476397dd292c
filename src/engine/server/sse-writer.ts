import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** Server-sent events on one response, at the pace of its reader. */
export interface SseWriter {
  /** Undefined when more may be written at once; else resolves when a slow reader has caught up. */
  send(event: string): Promise<void> | undefined;
  end(last: string): void;
}

/**
 * Starts an event stream. While a reader does not keep up, `send` waits, and its request's tokens gather in
 * the `Generation`: they come out as one larger event, so memory stays bounded by the request.
 */
export function startSse(response: ServerResponse, signal: AbortSignal): SseWriter {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  });
  return {
    send: (event) => {
      if (signal.aborted || response.write(event)) return undefined;
      return once(response, 'drain', { signal }).then(
        () => undefined,
        () => undefined,
      );
    },
    end: (last) => {
      if (!response.writableEnded) response.end(last);
    },
  };
}
