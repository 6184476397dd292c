/** Chooses how to watch a response by its content type. */
import { JsonObserver } from './json-observer.ts';
import { isJsonType, mediaType } from './media-type.ts';
import type { ObservedResponse } from './observed-response.ts';
import { SseObserver } from './sse-observer.ts';

/** A new observer for one response. Other types than event streams and JSON are only let pass. */
export function observeResponse(contentType: string | undefined): ObservedResponse {
  const type = mediaType(contentType);
  if (type === 'text/event-stream') return new SseObserver();
  return isJsonType(type) ? new JsonObserver() : unobserved;
}

const unobserved: ObservedResponse = Object.freeze({
  push: () => false,
  end: () => {},
  hasFirstToken: false,
  events: 0,
  isComplete: true,
  usage: undefined,
  errorMessage: undefined,
});
