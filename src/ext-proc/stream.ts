import type { Assignment, EndpointPicker } from '../endpoint-picker/assignment.ts';
import type { HttpRequest } from '../endpoint-picker/inference-request.ts';
import { ServiceError, toServiceError } from '../protocol/errors.ts';
import { requestIdHeader } from '../protocol/headers.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { Log } from '../telemetry/index.ts';
import { bodyPieces } from './body-pieces.ts';
import { immediateResponse } from './immediate-response.ts';
import type { BodyMode, Direction, Headers, ProcessingRequest } from './messages.ts';
import { pickReply, spoofedHeaders } from './mutation.ts';
import { Outbox, type Sink } from './outbox.ts';
import { RequestGathering } from './request-gathering.ts';
import { requestPath } from './request-path.ts';
import { type RequestPlan, requestPlan } from './request-plan.ts';
import { type ObserveResponse, ResponsePhase } from './response-phase.ts';

export interface StreamCollaborators {
  readonly picker: EndpointPicker;
  /** Throws a `ServiceError` that tells the client what is wrong. Takes no body when only headers are known. */
  readonly parseRequest: (http: HttpRequest) => InferenceRequest;
  readonly observeResponse: ObserveResponse;
  readonly log: Log;
  readonly maxBodyBytes: number;
  /** Endpoints to name after the first, for data planes that read a list. */
  readonly fallbacks: number;
  readonly newRequestId: () => string;
  /** The deadline of our shutdown is over: streams that end now are cut by us. */
  readonly isCutting: () => boolean;
  /** Calls `task` once after `delayMs`, unless the returned function is called first. */
  readonly startTimer: (task: () => void, delayMs: number) => () => void;
}

/**
 * The request's way through the stream:
 *
 *   idle ── headers ──▶ gathering ── enough is known ──▶ picking ── picked ──▶ forwarding
 *                           │  │                            │  │                   │
 *                           │  └── a response comes first ──┼──┴──▶ abandoned      │
 *                           └──── refused, or the data plane went away ────────────┴──▶ closed
 */
type State = 'idle' | 'gathering' | 'picking' | 'forwarding' | 'abandoned' | 'closed';

/**
 * One HTTP request as external processing sees it. Independent of the transport, which calls `onMessage`,
 * `onHalfClose`, `onCancel` and `onDrain`, and stops reading while `isBlocked`.
 */
export class ExtProcStream {
  readonly #collaborators: StreamCollaborators;
  readonly #outbox: Outbox;
  readonly #requestId: string;
  readonly #gathering = new RequestGathering();
  readonly #aborter = new AbortController();
  #state: State = 'idle';
  #isObservedOnly = false;
  #plan: RequestPlan | undefined;
  #responseBodyMode: BodyMode | undefined;
  #response: ResponsePhase | undefined;
  #isHalfClosed = false;
  #areHeadersAnswered = false;
  /** Request body messages that are still owed one reply each. */
  #unansweredBodies = 0;
  #areTrailersUnanswered = false;
  #hasSeenResponseBody = false;
  #hasResponseEnded = false;
  #stopWaiting = () => {};

  constructor(collaborators: StreamCollaborators, sink: Sink) {
    this.#collaborators = collaborators;
    this.#outbox = new Outbox(sink);
    this.#requestId = collaborators.newRequestId();
  }

  get isBlocked(): boolean {
    return this.#outbox.isBlocked;
  }

  onDrain(): void {
    this.#outbox.onDrain();
  }

  onMessage(message: ProcessingRequest): void {
    if (this.#state === 'closed') return;
    if (this.#plan === undefined) this.#onFirst(message);
    if (this.#isObservedOnly) return;
    try {
      if (message.direction === 'response') this.#onResponse(message);
      else this.#onRequest(message);
    } catch (error) {
      // A fault of ours: a client that waits for nothing is worse than one that is told.
      this.#refuse(error);
      this.#close();
    }
  }

  /** The data plane has nothing more to send. It still reads, and may wait for our end. */
  onHalfClose(): void {
    if (this.#state === 'closed') return;
    this.#isHalfClosed = true;
    if (this.#isPlanDeclared) this.#close();
    // NGINX Gateway Fabric half-closes after the body and reads until our end.
    else if (this.#state === 'gathering') this.#pick('whole');
    else if (this.#state !== 'picking') this.#close();
  }

  /** The stream is gone, in both directions. Normal after the end of the response. */
  onCancel(): void {
    this.#outbox.discard();
    this.#close();
  }

  get #isPlanDeclared(): boolean {
    return this.#responseBodyMode !== undefined;
  }

  #onFirst({ protocolConfig, isObservedOnly }: ProcessingRequest): void {
    this.#plan = requestPlan(protocolConfig);
    this.#responseBodyMode = protocolConfig?.responseBodyMode;
    this.#isObservedOnly = isObservedOnly;
  }

  #onRequest(message: ProcessingRequest): void {
    this.#gathering.onMetadata(message.metadata);
    if (message.kind === 'headers') this.#onRequestHeaders(message.headers, message.endOfStream);
    else if (message.kind === 'body') this.#onRequestBody(message.body, message.endOfStream);
    else this.#onRequestTrailers();
  }

  #onRequestHeaders(headers: Headers, endOfStream: boolean): void {
    if (this.#state !== 'idle') return;
    this.#state = 'gathering';
    this.#gathering.headers = headers;
    const { pickOn, patience } = this.#plan!;
    if (endOfStream) {
      this.#gathering.end = 'end_of_stream';
      this.#pick('whole');
    } else if (pickOn === 'headers') {
      this.#pick('headers');
    } else if (pickOn === 'body_message') {
      // Holding this reply would deadlock: the body comes only after it.
      this.#areHeadersAnswered = true;
      const mutation = { set: [], remove: spoofedHeaders(headers) };
      this.#outbox.send({ kind: 'headers', direction: 'request', mutation });
    } else if (patience !== undefined) {
      this.#stopWaiting = this.#collaborators.startTimer(() => this.#pick('headers'), patience.timeoutMs);
    }
  }

  #onRequestBody(body: Uint8Array, endOfStream: boolean): void {
    // Envoy can deliver the last chunk twice (envoy issue 46237).
    if (this.#gathering.end !== 'open' || this.#state === 'idle' || this.#state === 'abandoned') return;
    if (endOfStream) this.#gathering.end = 'end_of_stream';
    this.#unansweredBodies++;
    if (this.#state === 'forwarding') this.#answerBodies();
    if (this.#state !== 'gathering') return;

    const plan = this.#plan!;
    this.#gathering.onChunk(body);
    if (this.#gathering.bytes > this.#collaborators.maxBodyBytes) {
      this.#refuse(tooLarge(this.#collaborators.maxBodyBytes));
    } else if (plan.pickOn === 'body_message') {
      this.#pick(plan.mayBeCut && !endOfStream ? 'headers' : 'whole');
    } else if (endOfStream) {
      this.#pick('whole');
    } else if (plan.patience?.until === 'body_begins') {
      this.#stopWaiting();
    } else if (plan.patience !== undefined && this.#gathering.bytes >= plan.patience.heldBytes) {
      this.#pick('headers');
    }
  }

  #onRequestTrailers(): void {
    if (this.#state === 'idle' || this.#state === 'abandoned') return;
    if (this.#gathering.end === 'open') this.#gathering.end = 'trailers';
    this.#areTrailersUnanswered = true;
    if (this.#state === 'gathering') this.#pick('whole');
    else if (this.#state === 'forwarding') this.#answerTrailers();
  }

  #pick(known: 'whole' | 'headers'): void {
    if (this.#state !== 'gathering') return;
    this.#stopWaiting();
    this.#state = 'picking';
    const { picker } = this.#collaborators;
    try {
      picker
        .pick(this.#parse(known), { subset: this.#gathering.subset, signal: this.#aborter.signal })
        .then((assignment) => this.#onPicked(assignment))
        .catch((error: unknown) => this.#refuse(error));
    } catch (error) {
      this.#refuse(error);
    }
  }

  #parse(known: 'whole' | 'headers'): InferenceRequest {
    const { headers, bytes } = this.#gathering;
    const method = headers.get(':method') ?? (bytes > 0 || known === 'headers' ? 'POST' : 'GET');
    const hasBody = known === 'whole' && (bytes > 0 || method === 'POST');
    const body = hasBody ? this.#gathering.body : undefined;
    const path = requestPath(headers, body);
    return this.#collaborators.parseRequest({ id: this.#requestId, method, path, headers, body });
  }

  #onPicked(assignment: Assignment): void {
    if (this.#state !== 'picking') {
      assignment.finish({ kind: 'client_aborted' });
      return;
    }
    const { observeResponse, fallbacks } = this.#collaborators;
    const { mutation, metadata, addresses } = pickReply(assignment, this.#gathering.headers, fallbacks);
    this.#response = new ResponsePhase(assignment, addresses, observeResponse);
    if (!this.#areHeadersAnswered) {
      this.#outbox.send({ kind: 'headers', direction: 'request', mutation, metadata });
    } else if (this.#unansweredBodies > 0) {
      this.#unansweredBodies--;
      this.#outbox.send({ kind: 'body', direction: 'request', mutation, metadata });
    } else {
      // Only trailers are left to answer, and these cannot carry a destination.
      throw new ServiceError('invalid_request', 'Expected a request body before the trailers, found none.');
    }
    this.#state = 'forwarding';
    this.#answerBodies();
    this.#answerTrailers();
    if (this.#isHalfClosed) this.#close();
  }

  #answerBodies(): void {
    const chunks = this.#gathering.takeChunks();
    if (this.#plan!.bodyReplies === 'echo') {
      const isEnded = this.#gathering.end === 'end_of_stream';
      if (this.#unansweredBodies > 0) this.#echo('request', chunks, isEnded);
    } else {
      for (let i = 0; i < this.#unansweredBodies; i++) {
        this.#outbox.send({ kind: 'body', direction: 'request' });
      }
    }
    this.#unansweredBodies = 0;
  }

  #answerTrailers(): void {
    if (!this.#areTrailersUnanswered) return;
    this.#areTrailersUnanswered = false;
    this.#outbox.send({ kind: 'trailers', direction: 'request' });
  }

  #echo(direction: Direction, chunks: readonly Uint8Array[], isEnded: boolean): void {
    for (const { piece, isLast } of bodyPieces(chunks)) {
      const streamed = { body: piece, endOfStream: isLast && isEnded };
      this.#outbox.send({ kind: 'body', direction, streamed });
    }
  }

  #onResponse(message: ProcessingRequest): void {
    if (this.#state !== 'forwarding' && this.#state !== 'abandoned') this.#abandonRequest();
    this.#observe(message);
    if (message.kind === 'body') this.#answerResponseBody(message.body, message.endOfStream);
    else this.#outbox.send({ kind: message.kind, direction: 'response' });
    this.#hasResponseEnded ||= message.kind === 'trailers' || message.endOfStream;
  }

  #answerResponseBody(body: Uint8Array, endOfStream: boolean): void {
    this.#hasSeenResponseBody = true;
    if (this.#responseBodyMode !== 'FULL_DUPLEX_STREAMED' && this.#responseBodyMode !== 'GRPC') {
      this.#outbox.send({ kind: 'body', direction: 'response' });
    } else if (!this.#hasResponseEnded) {
      this.#echo('response', [body], endOfStream);
    }
  }

  /** A fault in watching must not cost the client its response. */
  #observe(message: ProcessingRequest): void {
    const response = this.#response;
    if (response === undefined) return;
    try {
      response.onMetadata(message.metadata);
      if (message.kind === 'headers') response.onHeaders(message.headers, message.attributes);
      else if (message.kind === 'body') response.onBody(message.body);
      if (message.kind === 'trailers' || message.endOfStream) response.onEnd();
    } catch (error) {
      this.#collaborators.log.error({ err: error, requestId: this.#requestId }, 'watching a response failed');
    }
  }

  /**
   * The data plane answers by itself, e.g. because the client took too long: no pick is wanted any more, and a
   * reply to the request would be out of order.
   */
  #abandonRequest(): void {
    this.#stopWaiting();
    this.#aborter.abort();
    this.#gathering.takeChunks();
    this.#state = 'abandoned';
  }

  #refuse(error: unknown): void {
    if (this.#state === 'closed' || this.#state === 'abandoned' || this.#response?.hasBegun) return;
    const refusal = toServiceError(error);
    const { log } = this.#collaborators;
    const fields = {
      requestId: this.#requestId,
      clientRequestId: this.#gathering.headers.get(requestIdHeader),
      code: refusal.code,
    };
    if (refusal.code === 'internal') log.error({ ...fields, err: error }, 'request failed');
    else log.debug({ ...fields, reason: refusal.message }, 'request refused');
    this.#outbox.send(immediateResponse(refusal));
    this.#close();
  }

  #close(): void {
    if (this.#state === 'closed') return;
    // Not otherwise: an abort makes an error with its stack, on every stream.
    if (this.#state === 'picking') this.#aborter.abort();
    this.#state = 'closed';
    this.#stopWaiting();
    this.#gathering.takeChunks();
    try {
      const { isCutting } = this.#collaborators;
      this.#response?.onClosed(isCutting() ? 'cut' : this.#isEndExpected() ? 'expected' : 'early');
    } finally {
      this.#outbox.end();
    }
  }

  /** Whether a stream that ends now, without the end of a response, ends as it should. */
  #isEndExpected(): boolean {
    // NGINX Gateway Fabric shows no response at all; others may show headers only.
    if (!this.#isPlanDeclared) return !this.#hasSeenResponseBody;
    return this.#responseBodyMode === 'NONE' && this.#response?.hasBegun === true;
  }
}

function tooLarge(maxBodyBytes: number): ServiceError {
  return new ServiceError(
    'request_too_large',
    `Expected a body of at most ${maxBodyBytes} bytes, found more. Shorten the request.`,
  );
}
