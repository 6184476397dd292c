import type { Http2Limits } from './limits.ts';

/** What a connection should do now. */
export type Due = 'nothing' | 'refuse-streams' | 'preface-timeout' | 'drain' | 'ping' | 'destroy';

/** Time in which a peer that does not answer our PING has surely read what stood before it. */
const roundTripMs = 1000;

/** The clock of one connection: how long it waits for the preface, for a sign of life, for a new stream. */
export class Patience {
  readonly #limits: Http2Limits;
  readonly #clock: () => number;
  #readAtMs: number;
  #pingAtMs: number | undefined;
  #idleSinceMs: number;
  /** When we have told the peer that we will go. */
  #toldAtMs: number | undefined;
  /** When a socket that we have ended is cut. */
  #cutAtMs = Number.POSITIVE_INFINITY;

  constructor(limits: Http2Limits, clock: () => number) {
    this.#limits = limits;
    this.#clock = clock;
    this.#readAtMs = clock();
    this.#idleSinceMs = this.#readAtMs;
  }

  get hasToldPeer(): boolean {
    return this.#toldAtMs !== undefined;
  }

  /** Bytes have come. */
  read(): void {
    this.#readAtMs = this.#clock();
    this.#pingAtMs = undefined;
  }

  /** The last stream has gone. */
  idle(): void {
    this.#idleSinceMs = this.#clock();
  }

  told(): void {
    this.#toldAtMs = this.#clock();
  }

  /** The peer has read it, or has had time to. */
  hasLearned(): void {
    this.#toldAtMs = undefined;
  }

  /** Our side is ended; the peer may take this long to end its own. */
  hangUp(patienceMs: number): void {
    this.#cutAtMs = this.#clock() + patienceMs;
  }

  isCutDue(nowMs: number): boolean {
    return nowMs > this.#cutAtMs;
  }

  /** A `ping` that is told is taken as sent. */
  due(nowMs: number, state: { readonly hasSettings: boolean; readonly streams: number }): Due {
    const { prefaceTimeoutMs, idleTimeoutMs, keepaliveTimeoutMs, keepaliveMs } = this.#limits;
    if (this.#toldAtMs !== undefined && nowMs - this.#toldAtMs > roundTripMs) return 'refuse-streams';
    if (!state.hasSettings)
      return nowMs - this.#idleSinceMs > prefaceTimeoutMs ? 'preface-timeout' : 'nothing';
    if (state.streams === 0 && nowMs - this.#idleSinceMs > idleTimeoutMs) return 'drain';
    if (this.#pingAtMs !== undefined)
      return nowMs - this.#pingAtMs > keepaliveTimeoutMs ? 'destroy' : 'nothing';
    if (nowMs - this.#readAtMs <= keepaliveMs) return 'nothing';
    this.#pingAtMs = nowMs;
    return 'ping';
  }
}
