import type { PickListener, Placement, RequestPlacer } from '../endpoint-picker/assignment.ts';
import type { HttpRequest } from '../endpoint-picker/http-request.ts';
import type { ParsedRequest, RewrittenModel } from '../endpoint-picker/inference-request.ts';
import { ServiceError, toServiceError } from '../protocol/errors.ts';
import { explainHeader, requestIdHeader } from '../protocol/headers.ts';
import type { ModelNames } from '../protocol/model-restorer.ts';
import type { Log } from '../telemetry/index.ts';
import { immediateResponse } from './immediate-response.ts';
import type { BodyMode, Headers, ProcessingRequest } from './messages.ts';
import { pickReply, spoofedHeaders } from './mutation.ts';
import { Outbox, type Sink } from './outbox.ts';
import { PhaseTimer, type PhaseTimerOptions, type StreamEnd } from './phase-timer.ts';
import { PickWish } from './pick-wish.ts';
import { RequestAnswers } from './request-answers.ts';
import { RequestGathering } from './request-gathering.ts';
import { errorDialectOf, requestPath } from './request-path.ts';
import { type RequestPlan, requestPlan } from './request-plan.ts';
import { ResponseAnswers } from './response-answers.ts';
import { type ObserveResponse, ResponsePhase } from './response-phase.ts';

export interface StreamCollaborators {
  readonly picker: RequestPlacer;
  /** Throws a `ServiceError` that tells the client what is wrong. Takes no body when only headers are known. */
  readonly parseRequest: (http: HttpRequest) => ParsedRequest;
  readonly observeResponse: ObserveResponse;
  readonly log: Log;
  readonly maxBodyBytes: number;
  /** Endpoints to name after the first, for data planes that read a list. */
  readonly fallbacks: number;
  /** Answers `x-pointsman-explain`. */
  readonly explains: boolean;
  /** Tells the scores of all candidates in the metadata of the pick. */
  readonly tellsScores?: boolean;
  readonly newRequestId: () => string;
  /** Told how long a stream and its parts took. */
  readonly phases?: PhaseTimerOptions | undefined;
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
export class ExtProcStream implements PickListener<Placement> {
  readonly #collaborators: StreamCollaborators;
  readonly #outbox: Outbox;
  readonly #requestId: string;
  readonly #gathering = new RequestGathering();
  readonly #answers: RequestAnswers;
  #wish: PickWish | undefined;
  readonly #phases: PhaseTimer;
  #state: State = 'idle';
  #isObservedOnly = false;
  #plan: RequestPlan | undefined;
  #responseBodyMode: BodyMode | undefined;
  #response: ResponsePhase | undefined;
  #responseAnswers: ResponseAnswers | undefined;
  /** Between parsing and the pick; then only the names stay, or each open stream would hold its prompt. */
  #rewrite: RewrittenModel | undefined;
  #modelNames: ModelNames | undefined;
  #placement: Placement | undefined;
  #isHalfClosed = false;
  #hasRefused = false;
  #areHeadersAnswered = false;
  #hasSeenResponseBody = false;
  #stopWaiting = () => {};

  constructor(collaborators: StreamCollaborators, sink: Sink) {
    this.#collaborators = collaborators;
    this.#outbox = new Outbox(sink);
    this.#answers = new RequestAnswers(this.#outbox);
    this.#requestId = collaborators.newRequestId();
    this.#phases = new PhaseTimer(collaborators.phases);
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
      if (message.direction === 'response') this.#onTimedResponse(message);
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
    else this.#onRequestTrailers(message.headers);
  }

  #onRequestHeaders(headers: Headers, endOfStream: boolean): void {
    if (this.#state !== 'idle') return;
    this.#state = 'gathering';
    this.#phases.begin('gathering');
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
    this.#answers.owed++;
    if (this.#state === 'forwarding') this.#answers.answer(this.#gathering, this.#plan!);
    if (this.#state !== 'gathering') return;

    const plan = this.#plan!;
    this.#gathering.onChunk(body);
    if (this.#gathering.bytes > this.#collaborators.maxBodyBytes) {
      this.#refuseUnseen(tooLarge(this.#collaborators.maxBodyBytes));
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

  #onRequestTrailers(trailers: Headers): void {
    if (this.#state === 'idle' || this.#state === 'abandoned') return;
    if (this.#gathering.end === 'open') this.#gathering.end = 'trailers';
    this.#answers.oweTrailers(trailers);
    if (this.#state === 'gathering') this.#pick('whole');
    else if (this.#state === 'forwarding') this.#answers.answerTrailers();
  }

  #pick(known: 'whole' | 'headers'): void {
    if (this.#state !== 'gathering') return;
    this.#stopWaiting();
    this.#state = 'picking';
    this.#phases.begin('picking');
    let parsed: ParsedRequest;
    try {
      parsed = this.#parse(known);
    } catch (error) {
      this.#refuseUnseen(error);
      return;
    }
    try {
      const { request, rewrite, parserFault } = parsed;
      this.#rewrite = rewrite;
      this.#wish = new PickWish(
        this.#gathering.subset,
        parserFault,
        this.#isExplained || this.#collaborators.tellsScores === true,
      );
      this.#collaborators.picker.submit(request, this.#wish, this);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** The picker's answer; also to a stream that has no use for it any more. */
  placed(placement: Placement): void {
    try {
      this.#onPicked(placement);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** The other one. */
  refused(error: unknown): void {
    this.#refuse(error);
  }

  #parse(known: 'whole' | 'headers'): ParsedRequest {
    const { headers, bytes } = this.#gathering;
    const method = headers.get(':method') ?? (bytes > 0 || known === 'headers' ? 'POST' : 'GET');
    const hasBody = known === 'whole' && (bytes > 0 || method === 'POST');
    const body = hasBody ? this.#gathering.body : undefined;
    const path = requestPath(headers, body);
    return this.#collaborators.parseRequest({ id: this.#requestId, method, path, headers, body });
  }

  #onPicked(placement: Placement): void {
    if (this.#state !== 'picking') {
      placement.finish({ kind: 'client_aborted' });
      return;
    }
    this.#placement = placement;
    const { observeResponse, fallbacks, tellsScores = false } = this.#collaborators;
    const plan = this.#plan!;
    const gathering = this.#gathering;
    const changedBody = this.#takeChangedBody();
    const contentLength = plan.setsLength && changedBody !== undefined ? totalBytes(changedBody) : undefined;
    const { mutation, metadata, addresses } = pickReply(placement, gathering.headers, {
      requestId: this.#requestId,
      fallbacks,
      tellsScores,
      contentLength,
    });
    this.#response = new ResponsePhase(placement, addresses, observeResponse);
    if (changedBody !== undefined) this.#answers.replace(changedBody, gathering, plan);
    if (!this.#areHeadersAnswered) {
      this.#outbox.send({ kind: 'headers', direction: 'request', mutation, metadata });
    } else if (this.#answers.owed > 0) {
      this.#answers.owed--;
      const replaced = this.#answers.takeReplacement();
      this.#outbox.send({ kind: 'body', direction: 'request', mutation, metadata, ...replaced });
    } else {
      // Only trailers are left to answer, and these cannot carry a destination.
      throw new ServiceError('invalid_request', 'Expected a request body before the trailers, found none.');
    }
    this.#state = 'forwarding';
    this.#phases.begin('waiting');
    this.#answers.answer(gathering, plan);
    this.#answers.answerTrailers();
    if (this.#isHalfClosed) this.#close();
  }

  #onTimedResponse(message: ProcessingRequest): void {
    const timer = this.#phases.response;
    timer?.begin(message);
    this.#onResponse(message);
    timer?.end();
  }

  #onResponse(message: ProcessingRequest): void {
    if (this.#state !== 'forwarding' && this.#state !== 'abandoned') this.#abandonRequest();
    this.#observe(message);
    this.#hasSeenResponseBody ||= message.kind === 'body';
    this.#responseAnswers ??= new ResponseAnswers({
      outbox: this.#outbox,
      mode: this.#responseBodyMode,
      modelNames: this.#modelNames,
      explanation: () => (this.#isExplained ? (this.#placement?.explanation() ?? []) : []),
    });
    this.#responseAnswers.answer(message);
  }

  #takeChangedBody(): readonly Buffer[] | undefined {
    if (this.#rewrite === undefined) return undefined;
    const { clientModel, model, body } = this.#rewrite;
    this.#modelNames = { clientModel, model };
    this.#rewrite = undefined;
    return body;
  }

  get #isExplained(): boolean {
    return this.#collaborators.explains && this.#gathering.headers.get(explainHeader)?.trim() === 'true';
  }

  /** A fault in watching must not cost the client its response. */
  #observe(message: ProcessingRequest): void {
    const response = this.#response;
    if (response === undefined) return;
    try {
      response.onMetadata(message.metadata);
      if (message.kind === 'headers') this.#phases.begin('responding');
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
    this.#gathering.takeChunks();
    this.#state = 'abandoned';
    this.#wish?.abort();
  }

  /** The picker, which tells of all that it refuses, has not seen the request. */
  #refuseUnseen(error: unknown): void {
    this.#phases.unseen(toServiceError(error).code);
    this.#refuse(error);
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
    this.#hasRefused = true;
    this.#phases.refused();
    this.#outbox.send(immediateResponse(refusal, errorDialectOf(this.#gathering.headers)));
    this.#close();
  }

  #close(): void {
    if (this.#state === 'closed') return;
    const wasPicking = this.#state === 'picking';
    this.#state = 'closed';
    // Not otherwise: an abort makes an error with its stack, on every stream.
    if (wasPicking) this.#wish?.abort();
    this.#stopWaiting();
    this.#gathering.takeChunks();
    const isFinished = this.#response?.isFinished ?? this.#hasRefused;
    const how = this.#collaborators.isCutting() ? 'cut' : this.#isEndExpected() ? 'expected' : 'early';
    try {
      this.#phases.end(isFinished ? 'OK' : streamEnds[how]);
      this.#response?.onClosed(how);
    } catch (error) {
      // Nobody is left to be told; the connection goes on with its other streams.
      const { log } = this.#collaborators;
      log.error({ err: error, requestId: this.#requestId }, 'closing a stream failed');
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

const streamEnds: Readonly<Record<'cut' | 'expected' | 'early', StreamEnd>> = {
  cut: 'Unavailable',
  expected: 'OK',
  early: 'Canceled',
};

function totalBytes(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

function tooLarge(maxBodyBytes: number): ServiceError {
  return new ServiceError(
    'request_too_large',
    `Expected a body of at most ${maxBodyBytes} bytes, found more. Shorten the request.`,
  );
}
