import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Assignment, Outcome } from '../endpoint-picker/assignment.ts';
import { type ServiceError, toServiceError } from '../protocol/errors.ts';
import { type ModelNames, type ModelRestorer, restoreModel } from '../protocol/model-restorer.ts';
import { observeResponse } from '../protocol/observe-response.ts';
import type { ResponseObserver } from '../protocol/response-observer.ts';
import type { Relay } from './relay.ts';
import {
  brokenAnswer,
  failureReason,
  invalidAnswer,
  isInvalidAnswer,
  isOurFault,
  isTimeout,
  lostAnswer,
  noAnswer,
  unreachable,
} from './upstream-failure.ts';
import type { UpstreamRequest, Upstreams } from './upstreams.ts';

export interface ForwardingOptions {
  readonly assignment: Assignment;
  readonly upstreams: Upstreams;
  readonly request: UpstreamRequest;
  readonly relay: Relay;
  /** The answer names the engine's model; the client shall read its own name for it. */
  readonly modelNames: ModelNames | undefined;
  /** Headers to add to the answer, made when it begins. */
  readonly extraHeaders: () => readonly string[];
  /** No answer has begun and none will: the client gets this error. */
  readonly onFailed: (error: ServiceError) => void;
}

/**
 * After it was sent, a request may have been the reason why an engine died; it is given to one more engine, not
 * to all of them in turn.
 */
const mostResends = 1;

/**
 * One request on its way through engines until one answers:
 *
 *     sending ── response head ──▶ answering ── end ──▶ over
 *        │  ▲                          └─ broken, aborted ─▶ over
 *        │  └─ not connected: next endpoint; reset: once more
 *        └─ none left, timeout, aborted ─▶ over
 *
 * Handles undici's dispatch directly: no promise and no stream object per chunk.
 */
export class Forwarding implements Dispatcher.DispatchHandler {
  readonly #options: ForwardingOptions;
  #controller: Dispatcher.DispatchController | undefined;
  #observer: ResponseObserver | undefined;
  #restorer: ModelRestorer | undefined;
  #status = 0;
  /** The request has been handed to a connection, since the last `#send`. */
  #isSent = false;
  #isOver = false;
  #attempts = 0;
  #resends = 0;
  #hasRetriedStale = false;

  constructor(options: ForwardingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#send(this.#options.assignment.endpoint.address);
  }

  /** The client can take bytes again. */
  resume(): void {
    if (!this.#isOver) this.#controller?.resume();
  }

  /** Stops reading from the engine and closes the connection to it, which makes it stop generating. */
  abort(): void {
    if (this.#isOver) return;
    this.#finish({ kind: 'client_aborted' });
    this.#controller?.abort(new Error('the client has gone'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#isSent = true;
    if (this.#isOver) controller.abort(new Error('the client has gone'));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (this.#isOver || status < 200) return; // informational: the real head follows
    this.#status = status;
    const contentType = headers['content-type'];
    const isPlain = headers['content-encoding'] === undefined || headers['content-encoding'] === 'identity';
    this.#observer = observeResponse(status < 400 && isPlain ? contentType : undefined);
    this.#restorer = restoreModel(this.#options.modelNames, contentType, headers['content-encoding']);
    try {
      // A name of another length makes a body of another length.
      const relayed = this.#restorer === undefined ? headers : { ...headers, 'content-length': undefined };
      this.#options.relay.start(status, relayed, this.#options.extraHeaders());
    } catch (error) {
      this.#refuse(invalidAnswer(error), { kind: 'upstream_failed', reason: 'invalid response headers' });
      controller.abort(new Error('invalid response headers'));
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOver) return;
    const { assignment } = this.#options;
    if (this.#observer?.push(chunk) === true) assignment.firstToken();
    assignment.passed(chunk.length);
    const bytes = this.#restorer === undefined ? chunk : this.#restorer.push(chunk);
    if (bytes.length > 0 && !this.#options.relay.write(bytes)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    this.#observer?.end();
    const held = this.#restorer?.end();
    if (held !== undefined && held.length > 0) this.#options.relay.write(held);
    this.#options.relay.end();
    const status = this.#status;
    this.#finish(
      status >= 400
        ? { kind: 'rejected_by_engine', status }
        : { kind: 'completed', status, usage: this.#observer?.usage },
    );
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isOver) return;
    if (this.#status !== 0) this.#breakOff(error);
    else if (isOurFault(error)) this.#refuse(toServiceError(error), { kind: 'client_aborted' });
    else if (!this.#isSent) this.#tryNext(error);
    else this.#retryLost(error);
  }

  /** Gives the request up, as we are shutting down; the client is told the error, in the answer if one has begun. */
  cut(error: ServiceError): void {
    if (this.#isOver) return;
    const hasBegun = this.#status !== 0;
    this.#finish({ kind: 'cut_at_shutdown' });
    if (hasBegun) this.#options.relay.fail(error);
    else this.#options.onFailed(error);
    this.#controller?.abort(error);
  }

  #send(address: string): void {
    this.#isSent = false;
    this.#controller = undefined;
    this.#attempts += 1;
    this.#options.upstreams.dispatch(address, this.#options.request, this);
  }

  /** Not connected: nothing has reached an engine, so the next one is as good. */
  #tryNext(error: Error): void {
    const reason = failureReason(error);
    const next = this.#options.assignment.retryNext(reason);
    if (next === undefined) {
      this.#refuse(unreachable(this.#attempts, reason), { kind: 'connect_failed', reason });
      return;
    }
    this.#hasRetriedStale = false;
    this.#send(next.address);
  }

  /** Sent, and lost before the first byte of an answer. */
  #retryLost(error: Error): void {
    const { assignment, upstreams } = this.#options;
    const reason = failureReason(error);
    if (isTimeout(error)) {
      this.#refuse(noAnswer(error), { kind: 'upstream_failed', reason });
      return;
    }
    if (isInvalidAnswer(error)) {
      this.#refuse(invalidAnswer(error), { kind: 'upstream_failed', reason });
      return;
    }
    if (upstreams.isStaleConnection(error) && !this.#hasRetriedStale) {
      this.#hasRetriedStale = true; // says nothing about the engine: the same one, on a new connection
      this.#send(assignment.endpoint.address);
      return;
    }
    const next = this.#resends < mostResends ? assignment.retryNext(reason) : undefined;
    if (next === undefined) {
      this.#refuse(lostAnswer(reason), { kind: 'upstream_failed', reason });
      return;
    }
    this.#resends += 1;
    this.#hasRetriedStale = false;
    this.#send(next.address);
  }

  /** The answer broke off after its head. */
  #breakOff(error: Error): void {
    const reason = failureReason(error);
    this.#finish({ kind: 'upstream_failed', reason });
    this.#options.relay.fail(isTimeout(error) ? noAnswer(error) : brokenAnswer(reason));
  }

  #refuse(error: ServiceError, outcome: Outcome): void {
    this.#finish(outcome);
    this.#options.onFailed(error);
  }

  #finish(outcome: Outcome): void {
    this.#isOver = true;
    this.#options.assignment.finish(outcome);
  }
}
