import { ownPrefillMs, uncachedTokens } from './delay-estimate.ts';
import type { Endpoint } from './endpoint.ts';
import type { SchedulingContext } from './scheduling-context.ts';

export interface DisaggregationParameters {
  /** Sending a prompt's KV blocks from one engine to another: to begin with, and per token, milliseconds. */
  readonly setupMs: number;
  readonly transferMsPerToken: number;
  /** Share of a local prefill that each sequence decoding beside it is delayed by. */
  readonly decodeDelay: number;
  /** V: what a millisecond of this request is worth against the balance of the two pools. */
  readonly delayWeight: number;
  /** Share of remote requests that may miss their target for the first token. */
  readonly allowedMisses: number;
  /** Remote must win by this, milliseconds: estimates are not better. */
  readonly hysteresisMs: number;
  /** Prompts with less to compute than so many times their transfer stay local. */
  readonly leastTransfers: number;
}

/** The transfer of an 8B model (128 KiB a token) over InfiniBand at 40 GB/s; TCP at 10 GB/s takes four times that. */
export const defaultDisaggregation: DisaggregationParameters = Object.freeze({
  setupMs: 1,
  transferMsPerToken: 0.003,
  decodeDelay: 0.02,
  delayWeight: 1,
  allowedMisses: 0.01,
  hysteresisMs: 20,
  leastTransfers: 4,
});

export interface PlacementQuestion {
  readonly context: SchedulingContext;
  /** The best endpoint of each pool for this request. */
  readonly decode: Endpoint;
  readonly prefill: Endpoint;
  /** All of each pool. */
  readonly decodePool: readonly Endpoint[];
  readonly prefillPool: readonly Endpoint[];
  /** Transfers to `decode` that are under way or wait, milliseconds. */
  readonly pendingTransferMs: number;
}

export interface Placement {
  readonly isRemote: boolean;
  /** Predicted times to the first token. */
  readonly localMs: number;
  readonly remoteMs: number;
  /** What the advantage of remote had to exceed. */
  readonly thresholdMs: number;
}

/**
 * Whether a prompt is prefilled where it will be decoded, or by an engine for prefills that sends it there: the
 * shorter predicted time to the first token, corrected by a drift-plus-penalty term (Neely 2010) that fills the
 * emptier pool and holds remote requests that are late to an allowed share.
 *
 *     remote if  V (local - remote) + mean pending(decode pool) - mean pending(prefill pool) > Z + hysteresis
 *     Z = max(0, Z + [a remote request was late] - allowed share)      one for each class of requests
 *
 * A transfer carries the whole prompt, what is cached at the decode endpoint too, so that a cached prompt stays.
 */
export class Disaggregation {
  readonly #parameters: DisaggregationParameters;
  /** Z by class, in requests that were late. */
  readonly #lateness = new Map<number, number>();

  constructor(parameters: DisaggregationParameters = defaultDisaggregation) {
    for (const [name, value] of Object.entries(parameters)) {
      if (!(value >= 0)) throw new Error(`${name} is ${value}; it must be 0 or more`);
    }
    this.#parameters = parameters;
  }

  /** Pure but for the lateness that was told. Classes are priorities. */
  decide(question: PlacementQuestion): Placement {
    const { context, decode, prefill, decodePool, prefillPool, pendingTransferMs } = question;
    const { setupMs, transferMsPerToken, decodeDelay, delayWeight, hysteresisMs, leastTransfers } =
      this.#parameters;
    const { promptTokens, priority } = context.request;
    const decoding = decode.inFlight.requests - decode.inFlight.waitingForFirstToken;
    const localOwnMs = ownPrefillMs(decode, promptTokens, uncachedTokens(context, decode));
    const remoteOwnMs = ownPrefillMs(prefill, promptTokens, uncachedTokens(context, prefill));
    const transferMs = setupMs + transferMsPerToken * promptTokens;
    const localMs = decode.learned.pendingPrefillMs + localOwnMs * (1 + decodeDelay * decoding);
    const remoteMs = prefill.learned.pendingPrefillMs + remoteOwnMs + transferMs + pendingTransferMs;
    const thresholdMs = lateMs * (this.#lateness.get(priority) ?? 0) + hysteresisMs;
    const drift = meanPendingMs(decodePool) - meanPendingMs(prefillPool);
    const isWorthIt = localOwnMs >= leastTransfers * transferMs;
    const isRemote = isWorthIt && delayWeight * (localMs - remoteMs) + drift > thresholdMs;
    return { isRemote, localMs, remoteMs, thresholdMs };
  }

  /** A remote request of this priority got its first token. */
  cameRemotely(priority: number, isLate: boolean): void {
    const before = this.#lateness.get(priority) ?? 0;
    this.#lateness.set(priority, Math.max(0, before + (isLate ? 1 : 0) - this.#parameters.allowedMisses));
  }
}

/** Advantage that remote must have more for each late request that is not yet made up for. */
const lateMs = 10;

function meanPendingMs(pool: readonly Endpoint[]): number {
  let sum = 0;
  for (const { learned } of pool) sum += learned.pendingPrefillMs;
  return pool.length === 0 ? 0 : sum / pool.length;
}
