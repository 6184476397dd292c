import { toServiceError } from '../protocol/errors.ts';
import { requestIdHeader } from '../protocol/headers.ts';
import { immediateResponse } from './immediate-response.ts';
import type { ProcessingRequest } from './messages.ts';
import { Outbox, type Sink } from './outbox.ts';
import { PhaseTimer, type StreamEnd } from './phase-timer.ts';
import { errorDialectOf } from './request-path.ts';
import { type Placed, type RequestListener, RequestPhase } from './request-phase.ts';
import { type RequestPlan, requestPlan } from './request-plan.ts';
import { ResponseRelay } from './response-relay.ts';
import type { StreamCollaborators } from './stream-collaborators.ts';

const noMetadata = {
  metadata: undefined,
  attributes: undefined,
  protocolConfig: undefined,
  isObservedOnly: false,
} as const;

/**
 * One HTTP request as external processing sees it: its request, then its response, and how both end. Independent of the
 * transport, which calls `onMessage`, `onPiece`, `onHalfClose`, `onCancel` and `onDrain`, and stops reading while
 * `isBlocked`.
 */
export class ExtProcStream implements RequestListener {
  readonly #collaborators: StreamCollaborators;
  readonly #outbox: Outbox;
  readonly #phases: PhaseTimer;
  readonly #request: RequestPhase;
  readonly #response: ResponseRelay;
  /** Undefined before the first message. */
  #plan: RequestPlan | undefined;
  #isObservedOnly = false;
  #isHalfClosed = false;
  #hasRefused = false;
  #isClosed = false;

  constructor(collaborators: StreamCollaborators, sink: Sink) {
    this.#collaborators = collaborators;
    this.#outbox = new Outbox(sink);
    this.#phases = new PhaseTimer(collaborators.phases);
    this.#request = new RequestPhase(collaborators, this.#outbox, this.#phases, this);
    this.#response = new ResponseRelay({
      outbox: this.#outbox,
      phases: this.#phases,
      observe: collaborators.observeResponse,
      log: collaborators.log,
      requestId: this.#request.id,
    });
  }

  get isBlocked(): boolean {
    return this.#outbox.isBlocked;
  }

  onDrain(): void {
    this.#outbox.onDrain();
  }

  onMessage(message: ProcessingRequest): void {
    if (this.#isClosed) return;
    const plan = this.#plan ?? this.#onFirst(message);
    if (this.#isObservedOnly) return;
    try {
      if (message.direction === 'request') this.#request.onMessage(message, plan);
      else {
        this.#request.onResponse();
        this.#response.onMessage(message);
      }
    } catch (error) {
      this.#onFault(error);
    }
  }

  /** `onMessage` of a response's body, `bytes[start, end)`, with nothing else in the message. */
  onPiece(bytes: Buffer, start: number, end: number, endOfStream: boolean): void {
    if (this.#plan === undefined) {
      const body = bytes.subarray(start, end);
      this.onMessage({ ...noMetadata, kind: 'body', direction: 'response', body, endOfStream });
      return;
    }
    if (this.#isClosed || this.#isObservedOnly) return;
    try {
      this.#request.onResponse();
      this.#response.onPiece(bytes, start, end, endOfStream);
    } catch (error) {
      this.#onFault(error);
    }
  }

  /** The data plane has nothing more to send. It still reads, and may wait for our end. */
  onHalfClose(): void {
    if (this.#isClosed) return;
    this.#isHalfClosed = true;
    const isPlanDeclared = this.#response.mode !== undefined;
    if (isPlanDeclared || !this.#request.onHalfClose()) this.#close();
  }

  /** The stream is gone, in both directions. Normal after the end of the response. */
  onCancel(): void {
    this.#outbox.discard();
    this.#close();
  }

  onPlaced(placed: Placed): void {
    this.#response.onPlaced(placed);
  }

  onForwarded(): void {
    if (this.#isHalfClosed) this.#close();
  }

  onRefused(error: unknown, isSeen: boolean): void {
    if (!isSeen) this.#phases.unseen(toServiceError(error).code);
    this.#refuse(error);
  }

  #onFirst({ protocolConfig, isObservedOnly }: ProcessingRequest): RequestPlan {
    const plan = requestPlan(protocolConfig);
    this.#plan = plan;
    this.#response.mode = protocolConfig?.responseBodyMode;
    this.#isObservedOnly = isObservedOnly;
    return plan;
  }

  /** A fault of ours: a client that waits for nothing is worse than one that is told. */
  #onFault(error: unknown): void {
    this.#refuse(error);
    this.#close();
  }

  #refuse(error: unknown): void {
    if (this.#isClosed || this.#request.isAbandoned || this.#response.hasBegun) return;
    const refusal = toServiceError(error);
    const { log } = this.#collaborators;
    const fields = {
      requestId: this.#request.id,
      clientRequestId: this.#request.headers.get(requestIdHeader),
      code: refusal.code,
    };
    if (refusal.code === 'internal') log.error({ ...fields, err: error }, 'request failed');
    else log.debug({ ...fields, reason: refusal.message }, 'request refused');
    this.#hasRefused = true;
    this.#phases.refused();
    this.#outbox.send(immediateResponse(refusal, errorDialectOf(this.#request.headers)));
    this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#request.close();
    const isFinished = this.#response.isFinished ?? this.#hasRefused;
    const how = this.#collaborators.isCutting() ? 'cut' : this.#response.isEndExpected ? 'expected' : 'early';
    try {
      this.#phases.end(isFinished ? 'OK' : streamEnds[how]);
      this.#response.onClosed(how);
    } catch (error) {
      // Nobody is left to be told; the connection goes on with its other streams.
      const { log } = this.#collaborators;
      log.error({ err: error, requestId: this.#request.id }, 'closing a stream failed');
    } finally {
      this.#outbox.end();
    }
  }
}

const streamEnds: Readonly<Record<'cut' | 'expected' | 'early', StreamEnd>> = {
  cut: 'Unavailable',
  expected: 'OK',
  early: 'Canceled',
};
