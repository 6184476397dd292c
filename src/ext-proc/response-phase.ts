import type { Outcome, Placement } from '../endpoint-picker/assignment.ts';
import type { ResponseObserver } from '../protocol/response-observer.ts';
import type { Headers, Metadata } from './messages.ts';
import { responseCodeDetails, servedEndpoint } from './metadata.ts';

export type ObserveResponse = (contentType: string | undefined) => ResponseObserver;

/**
 * What becomes of a picked request, learned from the response that goes by. Finishes the placement exactly
 * once, on every way out.
 */
export class ResponsePhase {
  readonly #placement: Placement;
  /** What the data plane was given to choose from, in order. */
  readonly #addresses: readonly string[];
  readonly #observe: ObserveResponse;
  #status: number | undefined;
  #codeDetails: string | undefined;
  #observer: ResponseObserver | undefined;
  /** The beginning of a plain text error, which may be the data plane's own. */
  #errorText: string | undefined;
  #isFinished = false;

  constructor(placement: Placement, addresses: readonly string[], observe: ObserveResponse) {
    this.#placement = placement;
    this.#addresses = addresses;
    this.#observe = observe;
  }

  get hasBegun(): boolean {
    return this.#status !== undefined;
  }

  /** The outcome is told; what comes now changes nothing. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  onHeaders(headers: Headers, attributes: Metadata | undefined): void {
    this.#status = Number.parseInt(headers.get(':status') ?? '200', 10);
    this.#codeDetails = responseCodeDetails(attributes);
    const contentType = headers.get('content-type');
    this.#observer = this.#observe(contentType);
    if (this.#status >= 502 && contentType?.startsWith('text/plain')) this.#errorText = '';
  }

  /**
   * The data plane reports who served (Endpoint Picker Protocol, clause 12). It walks our list in order, so those
   * before have failed it. One that is not of the list has served too, but then nobody is to blame.
   */
  onMetadata(metadata: Metadata | undefined): void {
    const served = servedEndpoint(metadata);
    if (served === undefined || served === this.#placement.endpoint.address) return;
    const rank = this.#addresses.indexOf(served);
    this.#placement.servedBy(served, this.#addresses.slice(0, Math.max(0, rank)));
  }

  /** A piece of the body, `bytes[start, end)`. */
  onBody(bytes: Buffer, start: number, end: number): void {
    if (this.#errorText !== undefined && this.#errorText.length < errorTextLimit) {
      this.#errorText += bytes.toString('latin1', start, Math.min(end, start + errorTextLimit));
    }
    if (this.#observer?.push(bytes, start, end)) this.#placement.firstToken();
    this.#placement.passed(end - start);
  }

  /** The response is over as it should be. */
  onEnd(): void {
    this.#observer?.end();
    this.#finish(this.#outcome());
  }

  /**
   * The stream is over. `expected`: nothing more was due, e.g. because the data plane does not show us bodies;
   * `cut`: by our shutdown; `early`: the client went away.
   */
  onClosed(how: 'expected' | 'cut' | 'early'): void {
    if (how === 'expected' || this.#observer?.isComplete) this.onEnd();
    else this.#finish({ kind: how === 'cut' ? 'cut_at_shutdown' : 'client_aborted' });
  }

  #outcome(): Outcome {
    const status = this.#status ?? 200;
    const failure = dataPlaneFailure(this.#codeDetails) ?? dataPlaneError(this.#errorText);
    if (failure !== undefined) return failure;
    if (status >= 400) return { kind: 'rejected_by_engine', status };
    return { kind: 'completed', status, usage: this.#observer?.usage };
  }

  #finish(outcome: Outcome): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#placement.finish(outcome);
  }
}

const errorTextLimit = 256;

/** Envoy's own words, where `response.code_details` is not sent to us; engines answer in JSON. */
function dataPlaneError(text: string | undefined): Outcome | undefined {
  if (text === undefined || text.includes('overflow')) return undefined;
  if (!/^(upstream connect error|upstream request timeout|no healthy upstream)/.test(text)) return undefined;
  const kind = /connection (failure|timeout)|no healthy/.test(text) ? 'connect_failed' : 'upstream_failed';
  return { kind, reason: text };
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
