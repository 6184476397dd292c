import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { type ErrorDialect, errorEvent } from '../protocol/error-dialects.ts';
import type { ServiceError } from '../protocol/errors.ts';
import { mediaType } from '../protocol/media-type.ts';
import { relayedResponseHeaders } from './forwarded-headers.ts';

export interface RelayOptions {
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly dialect: ErrorDialect;
  /** A client that takes nothing for so long is cut, milliseconds. */
  readonly stallMs: number;
  /** The client takes bytes again after `write` answered false. */
  readonly onDrain: () => void;
}

/** The client's side of a response: passes bytes on as they come, and tells when to stop reading more. */
export class Relay {
  readonly #options: RelayOptions;
  readonly #response: ServerResponse;
  #isEventStream = false;
  #hasFixedLength = false;
  #hasBody = false;
  /** The last bytes passed on, to know whether an event has been cut in two. */
  #tail: Buffer | undefined;
  #stallTimer: NodeJS.Timeout | undefined;
  #hearsDrain = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#response = options.response;
  }

  /** Sends the head of the response. Throws if the engine's headers are not valid HTTP. */
  start(status: number, headers: IncomingHttpHeaders, extraHeaders: readonly string[]): void {
    this.#isEventStream = mediaType(headers['content-type']) === 'text/event-stream';
    this.#hasFixedLength = headers['content-length'] !== undefined;
    const relayed = relayedResponseHeaders(headers, this.#options.requestId);
    relayed.push(...extraHeaders);
    this.#response.writeHead(status, relayed);
    // Flushed at once, but together with body bytes that came in the same packet.
    process.nextTick(flushHead, this);
  }

  /** False when the client is slower than the engine: wait for `onDrain` before the next chunk. */
  write(chunk: Buffer): boolean {
    this.#hasBody = true;
    this.#tail = chunk;
    if (this.#response.write(chunk)) return true;
    this.#awaitDrain();
    return false;
  }

  end(): void {
    this.#response.end();
    this.#startStallTimer();
  }

  /**
   * The engine's response broke off. An event stream gets one error event and a clean end, without `[DONE]`; a
   * client would take an error within a half-sent event for part of it, so then, and with any other body, the
   * connection is cut, which every client notices.
   */
  fail(error: ServiceError): void {
    const canTell = this.#isEventStream && !this.#hasFixedLength && endsEvent(this.#tail);
    if (!canTell) {
      this.#response.destroy();
      return;
    }
    this.#response.write(errorEvent(this.#options.dialect, error));
    this.end();
  }

  /** The response is closed, by whatever end. */
  release(): void {
    clearTimeout(this.#stallTimer);
  }

  flushHead(): void {
    if (!this.#hasBody && !this.#response.writableEnded) this.#response.flushHeaders();
  }

  #startStallTimer(): void {
    clearTimeout(this.#stallTimer);
    this.#stallTimer = setTimeout(destroy, this.#options.stallMs, this.#response);
  }

  #awaitDrain(): void {
    this.#startStallTimer();
    if (this.#hearsDrain) return;
    this.#hearsDrain = true;
    this.#response.on('drain', () => {
      clearTimeout(this.#stallTimer);
      this.#options.onDrain();
    });
  }
}

function destroy(response: ServerResponse): void {
  response.destroy();
}

function flushHead(relay: Relay): void {
  relay.flushHead();
}

/** Nothing sent yet, or a blank line last. A blank line cut in two by chunks counts as a half-sent event. */
function endsEvent(tail: Buffer | undefined): boolean {
  if (tail === undefined) return true;
  const end = tail.toString('latin1', Math.max(0, tail.length - 4));
  return end.endsWith('\n\n') || end.endsWith('\r\n\r\n');
}
