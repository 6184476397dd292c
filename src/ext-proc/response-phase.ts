import type { Assignment, Outcome } from '../endpoint-picker/assignment.ts';
import type { ResponseObserver } from '../protocol/response-observer.ts';
import type { Headers, Metadata } from './messages.ts';
import { responseCodeDetails, servedEndpoint } from './metadata.ts';

export type ObserveResponse = (contentType: string | undefined) => ResponseObserver;

/**
 * What becomes of a picked request, learned from the response that goes by. Finishes the assignment exactly
 * once, on every way out.
 */
export class ResponsePhase {
  readonly #assignment: Assignment;
  /** What the data plane was given to choose from, in order. */
  readonly #addresses: readonly string[];
  readonly #observe: ObserveResponse;
  #status: number | undefined;
  #codeDetails: string | undefined;
  #observer: ResponseObserver | undefined;
  #isFinished = false;

  constructor(assignment: Assignment, addresses: readonly string[], observe: ObserveResponse) {
    this.#assignment = assignment;
    this.#addresses = addresses;
    this.#observe = observe;
  }

  get hasBegun(): boolean {
    return this.#status !== undefined;
  }

  onHeaders(headers: Headers, attributes: Metadata | undefined): void {
    this.#status = Number.parseInt(headers.get(':status') ?? '200', 10);
    this.#codeDetails = responseCodeDetails(attributes);
    this.#observer = this.#observe(headers.get('content-type'));
  }

  /**
   * The data plane reports who served (Endpoint Picker Protocol, clause 12). When it went on to a fallback, the
   * reservation follows it there.
   */
  onMetadata(metadata: Metadata | undefined): void {
    const served = servedEndpoint(metadata);
    if (served === undefined || this.#addresses.length < 2 || !this.#addresses.includes(served)) return;
    while (this.#assignment.endpoint.address !== served) {
      if (this.#assignment.retryNext('the data plane went on to a fallback') === undefined) return;
    }
  }

  onBody(chunk: Uint8Array): void {
    if (this.#observer?.push(chunk)) this.#assignment.firstToken();
  }

  /** The response is over as it should be. */
  onEnd(): void {
    this.#observer?.end();
    this.#finish(this.#outcome());
  }

  /**
   * The stream is over. `isNormal`: nothing more was due, e.g. because the data plane does not show us bodies;
   * else the client went away.
   */
  onClosed(isNormal: boolean): void {
    if (isNormal || this.#observer?.isComplete) this.onEnd();
    else this.#finish({ kind: 'client_aborted' });
  }

  #outcome(): Outcome {
    const status = this.#status ?? 200;
    const failure = dataPlaneFailure(this.#codeDetails);
    if (failure !== undefined) return failure;
    if (status >= 400) return { kind: 'rejected_by_engine', status };
    return { kind: 'completed', status, usage: this.#observer?.usage };
  }

  #finish(outcome: Outcome): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#assignment.finish(outcome);
  }
}

/** Responses that the data plane made up because it could not reach the endpoint, or lost it. */
function dataPlaneFailure(codeDetails: string | undefined): Outcome | undefined {
  if (
    codeDetails === undefined ||
    !/^(upstream_reset|upstream_(response|per_try)_timeout|no_healthy_upstream)/.test(codeDetails)
  ) {
    return undefined;
  }
  // The data plane's own limit, which says nothing about the endpoint.
  if (codeDetails.includes('overflow')) return undefined;
  const kind = /connection_failure|connection_timeout|connect_error|no_healthy/.test(codeDetails)
    ? 'connect_failed'
    : 'upstream_failed';
  return { kind, reason: codeDetails };
}
