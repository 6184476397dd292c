import { bufferView } from '../protocol/buffer-view.ts';
import type { Log } from '../telemetry/index.ts';
import type { BodyMode, ProcessingRequest } from './messages.ts';
import type { Outbox } from './outbox.ts';
import type { PhaseTimer } from './phase-timer.ts';
import type { Placed } from './request-phase.ts';
import { ResponseAnswers } from './response-answers.ts';
import { type ObserveResponse, ResponsePhase } from './response-phase.ts';

export interface ResponseRelayOptions {
  readonly outbox: Outbox;
  readonly phases: PhaseTimer;
  readonly observe: ObserveResponse;
  readonly log: Log;
  readonly requestId: string;
}

/** The response of a stream: watched as it goes by, if its request was placed, and answered at once. */
export class ResponseRelay {
  readonly #options: ResponseRelayOptions;
  /** Undefined = not declared. */
  mode: BodyMode | undefined;
  #placed: Placed | undefined;
  #phase: ResponsePhase | undefined;
  #answers: ResponseAnswers | undefined;
  #hasSeenBody = false;

  constructor(options: ResponseRelayOptions) {
    this.#options = options;
  }

  get hasBegun(): boolean {
    return this.#phase?.hasBegun === true;
  }

  /** Undefined before the request has its place. */
  get isFinished(): boolean | undefined {
    return this.#phase?.isFinished;
  }

  /** Whether a stream that ends now, without the end of a response, ends as it should. */
  get isEndExpected(): boolean {
    // NGINX Gateway Fabric shows no response at all; others may show headers only.
    if (this.mode === undefined) return !this.#hasSeenBody;
    return this.mode === 'NONE' && this.hasBegun;
  }

  onPlaced(placed: Placed): void {
    this.#placed = placed;
    this.#phase = new ResponsePhase(placed.placement, placed.addresses, this.#options.observe);
  }

  onMessage(message: ProcessingRequest): void {
    const timer = this.#options.phases.response;
    timer?.begin(message.kind === 'headers' ? message.headers : undefined);
    this.#observe(message);
    if (message.kind === 'body') this.#hasSeenBody = true;
    this.#answer.answer(message);
    timer?.end();
  }

  /** A message that is nothing but a body, `bytes[start, end)`; a response may have hundreds. */
  onPiece(bytes: Buffer, start: number, end: number, endOfStream: boolean): void {
    const timer = this.#options.phases.response;
    timer?.begin();
    this.#observePiece(bytes, start, end, endOfStream);
    this.#hasSeenBody = true;
    this.#answer.answerPiece(bytes, start, end, endOfStream);
    timer?.end();
  }

  onClosed(how: 'expected' | 'cut' | 'early'): void {
    this.#phase?.onClosed(how);
  }

  get #answer(): ResponseAnswers {
    this.#answers ??= new ResponseAnswers({
      outbox: this.#options.outbox,
      mode: this.mode,
      modelNames: this.#placed?.modelNames,
      explanation: () => (this.#placed?.isExplained ? this.#placed.placement.explanation() : []),
    });
    return this.#answers;
  }

  /** A fault in watching must not cost the client its response. */
  #observe(message: ProcessingRequest): void {
    const phase = this.#phase;
    if (phase === undefined) return;
    try {
      phase.onMetadata(message.metadata);
      if (message.kind === 'headers') {
        this.#options.phases.begin('responding');
        phase.onHeaders(message.headers, message.attributes);
      } else if (message.kind === 'body') phase.onBody(bufferView(message.body), 0, message.body.length);
      if (message.kind === 'trailers' || message.endOfStream) phase.onEnd();
    } catch (error) {
      this.#onFault(error);
    }
  }

  #observePiece(bytes: Buffer, start: number, end: number, endOfStream: boolean): void {
    const phase = this.#phase;
    if (phase === undefined) return;
    try {
      phase.onBody(bytes, start, end);
      if (endOfStream) phase.onEnd();
    } catch (error) {
      this.#onFault(error);
    }
  }

  #onFault(error: unknown): void {
    const { log, requestId } = this.#options;
    log.error({ err: error, requestId }, 'watching a response failed');
  }
}
