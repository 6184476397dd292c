import type { ServerResponse } from 'node:http';
import { ServiceError } from '../protocol/errors.ts';

/** Ends a request before its time; the client is told why where that is still possible. */
export type CutRequest = (error: ServiceError) => void;

/** Owns the set of requests in progress, from their headers until their connection has taken the answer. */
export class ActiveRequests {
  readonly #limit: number;
  readonly #cuts = new Map<ServerResponse, CutRequest>();
  #onIdle: (() => void) | undefined;

  constructor({ limit }: { readonly limit: number }) {
    this.#limit = limit;
  }

  get count(): number {
    return this.#cuts.size;
  }

  /** Counts a request in until its response closes. Throws `overloaded` beyond the limit. */
  open(response: ServerResponse): void {
    if (this.#cuts.size >= this.#limit) {
      throw new ServiceError(
        'overloaded',
        `The gateway serves ${this.#limit} requests already, its limit. Try again shortly.`,
      );
    }
    this.#cuts.set(response, () => response.destroy());
    response.once('close', () => this.#close(response));
  }

  /** How to end this request from now on. */
  setCut(response: ServerResponse, cut: CutRequest): void {
    if (this.#cuts.has(response)) this.#cuts.set(response, cut);
  }

  /** Resolves when no request is in progress, or after the deadline. */
  async idle(deadlineMs: number): Promise<void> {
    if (this.#cuts.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onIdle = undefined;
  }

  cutAll(error: ServiceError): void {
    for (const cut of [...this.#cuts.values()]) cut(error);
  }

  #close(response: ServerResponse): void {
    this.#cuts.delete(response);
    if (this.#cuts.size === 0) this.#onIdle?.();
  }
}
