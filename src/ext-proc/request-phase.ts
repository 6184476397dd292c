import type { PickListener, Placement } from '../endpoint-picker/assignment.ts';
import type { ParsedRequest, RewrittenModel } from '../endpoint-picker/inference-request.ts';
import { ServiceError } from '../protocol/errors.ts';
import { explainHeader } from '../protocol/headers.ts';
import type { ModelNames } from '../protocol/model-restorer.ts';
import type { Headers, ProcessingRequest } from './messages.ts';
import { pickReply, spoofedHeaders } from './mutation.ts';
import type { Outbox } from './outbox.ts';
import type { PhaseTimer } from './phase-timer.ts';
import { PickWish } from './pick-wish.ts';
import { RequestAnswers } from './request-answers.ts';
import { RequestGathering } from './request-gathering.ts';
import { requestPath } from './request-path.ts';
import type { RequestPlan } from './request-plan.ts';
import type { StreamCollaborators } from './stream-collaborators.ts';

/** The request's place, and what its response needs to know. */
export interface Placed {
  readonly placement: Placement;
  /** What the data plane is given to choose from, in order. */
  readonly addresses: readonly string[];
  /** Undefined if the request goes on with the model that the client named. */
  readonly modelNames: ModelNames | undefined;
  /** The client asked for the decision, and gets it. */
  readonly isExplained: boolean;
}

/** Told what becomes of the request. */
export interface RequestListener {
  /** Before the data plane is told, which may fail. */
  onPlaced(placed: Placed): void;
  /** All that has come of the request is answered. */
  onForwarded(): void;
  /** `isSeen`: by the picker, which tells of all that it refuses. */
  onRefused(error: unknown, isSeen: boolean): void;
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

/** The request of a stream: gathered, picked for, and answered. */
export class RequestPhase implements PickListener<Placement> {
  /** Ours, for requests that carry no id of their own. */
  readonly id: string;
  readonly #collaborators: StreamCollaborators;
  readonly #outbox: Outbox;
  readonly #phases: PhaseTimer;
  readonly #listener: RequestListener;
  readonly #gathering = new RequestGathering();
  readonly #answers: RequestAnswers;
  #state: State = 'idle';
  #plan: RequestPlan | undefined;
  #wish: PickWish | undefined;
  /** Between parsing and the pick; then only the names stay, or each open stream would hold its prompt. */
  #rewrite: RewrittenModel | undefined;
  #areHeadersAnswered = false;
  #stopWaiting = () => {};

  constructor(
    collaborators: StreamCollaborators,
    outbox: Outbox,
    phases: PhaseTimer,
    listener: RequestListener,
  ) {
    this.id = collaborators.newRequestId();
    this.#collaborators = collaborators;
    this.#outbox = outbox;
    this.#phases = phases;
    this.#listener = listener;
    this.#answers = new RequestAnswers(outbox);
  }

  get headers(): Headers {
    return this.#gathering.headers;
  }

  get isAbandoned(): boolean {
    return this.#state === 'abandoned';
  }

  /** `plan` is that of the stream's first message. */
  onMessage(message: ProcessingRequest, plan: RequestPlan): void {
    this.#plan = plan;
    this.#gathering.onMetadata(message.metadata);
    if (message.kind === 'headers') this.#onHeaders(message.headers, message.endOfStream);
    else if (message.kind === 'body') this.#onBody(message.body, message.endOfStream);
    else this.#onTrailers(message.headers);
  }

  /** No plan was declared, and nothing more will come. Returns whether the pick is still owed. */
  onHalfClose(): boolean {
    // NGINX Gateway Fabric half-closes after the body and reads until our end.
    if (this.#state !== 'gathering') return this.#state === 'picking';
    this.#pick('whole');
    return true;
  }

  /**
   * A response has come. If no pick has, the data plane answers by itself, e.g. because the client took too long: none is
   * wanted any more, and a reply to the request would be out of order.
   */
  onResponse(): void {
    if (this.#state === 'forwarding' || this.#state === 'abandoned') return;
    this.#stopWaiting();
    this.#gathering.takeChunks();
    this.#state = 'abandoned';
    this.#wish?.abort();
  }

  close(): void {
    const wasPicking = this.#state === 'picking';
    this.#state = 'closed';
    // Not otherwise: an abort makes an error with its stack, on every stream.
    if (wasPicking) this.#wish?.abort();
    this.#stopWaiting();
    this.#gathering.takeChunks();
    this.#rewrite = undefined;
  }

  #onHeaders(headers: Headers, endOfStream: boolean): void {
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

  #onBody(body: Uint8Array, endOfStream: boolean): void {
    // Envoy can deliver the last chunk twice (envoy issue 46237).
    if (this.#gathering.end !== 'open' || this.#state === 'idle' || this.#state === 'abandoned') return;
    if (endOfStream) this.#gathering.end = 'end_of_stream';
    this.#answers.owed++;
    if (this.#state === 'forwarding') this.#answers.answer(this.#gathering, this.#plan!);
    if (this.#state !== 'gathering') return;

    const plan = this.#plan!;
    this.#gathering.onChunk(body);
    if (this.#gathering.bytes > this.#collaborators.maxBodyBytes) {
      this.#listener.onRefused(tooLarge(this.#collaborators.maxBodyBytes), false);
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

  #onTrailers(trailers: Headers): void {
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
      this.#listener.onRefused(error, false);
      return;
    }
    try {
      const { request, rewrite, parserFault } = parsed;
      this.#rewrite = rewrite;
      const explains = this.#isExplained || this.#collaborators.tellsScores === true;
      this.#wish = new PickWish(this.#gathering.subset, parserFault, explains);
      this.#collaborators.picker.submit(request, this.#wish, this);
    } catch (error) {
      this.refused(error);
    }
  }

  #parse(known: 'whole' | 'headers'): ParsedRequest {
    const { headers, bytes } = this.#gathering;
    const method = headers.get(':method') ?? (bytes > 0 || known === 'headers' ? 'POST' : 'GET');
    const hasBody = known === 'whole' && (bytes > 0 || method === 'POST');
    const body = hasBody ? this.#gathering.body : undefined;
    const path = requestPath(headers, body);
    return this.#collaborators.parseRequest({ id: this.id, method, path, headers, body });
  }

  /** The picker's answer; also to a stream that has no use for it any more. */
  placed(placement: Placement): void {
    try {
      if (this.#state === 'picking') this.#onPicked(placement);
      else placement.finish({ kind: 'client_aborted' });
    } catch (error) {
      this.refused(error);
    }
  }

  /** The other one. */
  refused(error: unknown): void {
    this.#listener.onRefused(error, true);
  }

  #onPicked(placement: Placement): void {
    const { fallbacks, tellsScores = false } = this.#collaborators;
    const plan = this.#plan!;
    const gathering = this.#gathering;
    const rewrite = this.#rewrite;
    this.#rewrite = undefined;
    const changedBody = rewrite?.body;
    const contentLength = plan.setsLength && changedBody !== undefined ? totalBytes(changedBody) : undefined;
    const { mutation, metadata, addresses } = pickReply(placement, gathering.headers, {
      requestId: this.id,
      fallbacks,
      tellsScores,
      contentLength,
    });
    const modelNames = rewrite && { clientModel: rewrite.clientModel, model: rewrite.model };
    this.#listener.onPlaced({ placement, addresses, modelNames, isExplained: this.#isExplained });
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
    this.#listener.onForwarded();
  }

  get #isExplained(): boolean {
    return this.#collaborators.explains && this.#gathering.headers.get(explainHeader)?.trim() === 'true';
  }
}

function totalBytes(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

function tooLarge(maxBodyBytes: number): ServiceError {
  return new ServiceError(
    'request_too_large',
    `Expected a body of at most ${maxBodyBytes} bytes, found more. Shorten the request.`,
  );
}
