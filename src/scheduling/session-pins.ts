import type { Endpoint } from './endpoint.ts';
import type { SchedulingContext } from './scheduling-context.ts';

export interface SessionPinsOptions {
  /** Headers that may hold the session's id; the first that does counts. */
  readonly headers: readonly string[];
  /** A session that is silent for longer is forgotten. */
  readonly ttlSeconds: number;
  readonly maxSessions?: number;
}

interface Pin {
  readonly endpoint: string;
  readonly seenMs: number;
}

/**
 * Remembers where the first request of each session went. A session moves only when its endpoint is no
 * candidate any more. Each replica, and each reload, starts without memory.
 */
export class SessionPins {
  readonly #headers: readonly string[];
  readonly #ttlMs: number;
  readonly #maxSessions: number;
  /** The longest silent first. */
  readonly #pins = new Map<string, Pin>();
  /** Whether the last request asked about found its endpoint among the candidates. */
  #wasPresent = false;

  constructor({ headers, ttlSeconds, maxSessions = 100_000 }: SessionPinsOptions) {
    this.#headers = headers.map((name) => name.trim().toLowerCase());
    if (this.#headers.length === 0 || this.#headers.includes(''))
      throw new Error('headers is empty; expected header names such as x-session-id');
    if (!(ttlSeconds > 0)) throw new Error(`ttlSeconds is ${ttlSeconds}; it must be above 0`);
    this.#ttlMs = ttlSeconds * 1000;
    this.#maxSessions = maxSessions;
  }

  /** Index of the endpoint that the request's session is pinned to; undefined if there is none. */
  pinned(context: SchedulingContext, endpoints: readonly Endpoint[]): number | undefined {
    const pin = this.#pinOf(context);
    const at = pin === undefined ? -1 : endpoints.findIndex(({ name }) => name === pin.endpoint);
    this.#wasPresent = at >= 0;
    return at < 0 ? undefined : at;
  }

  /** To be told of the choice in the same decision as `pinned`. */
  pin(context: SchedulingContext, { name }: Endpoint): void {
    const session = this.#sessionOf(context);
    if (session === undefined) return;
    const pin = this.#pinOf(context);
    // The other plugins outvoted the pin: the session comes back when they agree again.
    if (pin !== undefined && pin.endpoint !== name && this.#wasPresent) return;
    this.#pins.delete(session);
    this.#pins.set(session, { endpoint: name, seenMs: context.nowMs });
    for (const [oldest, { seenMs }] of this.#pins) {
      if (this.#pins.size <= this.#maxSessions && context.nowMs - seenMs <= this.#ttlMs) break;
      this.#pins.delete(oldest);
    }
  }

  #pinOf(context: SchedulingContext): Pin | undefined {
    const session = this.#sessionOf(context);
    const pin = session === undefined ? undefined : this.#pins.get(session);
    return pin !== undefined && context.nowMs - pin.seenMs <= this.#ttlMs ? pin : undefined;
  }

  #sessionOf({ request }: SchedulingContext): string | undefined {
    for (const header of this.#headers) {
      const id = request.headers.get(header)?.trim();
      if (id !== undefined && id !== '') return id;
    }
    return undefined;
  }
}
