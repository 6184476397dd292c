import { Budget } from './budget.ts';
import { tooMuch } from './http2-error.ts';
import type { Http2Limits } from './limits.ts';

/** What a peer may make us do for nothing; throws when it has. */
export class AbuseLimits {
  readonly #controls: Budget;
  readonly #resets: Budget;

  constructor(limits: Http2Limits, clock: () => number) {
    this.#controls = new Budget({ burst: limits.controlBurst, perSecond: limits.controlPerSecond, clock });
    this.#resets = new Budget({ burst: limits.resetBurst, perSecond: limits.resetsPerSecond, clock });
  }

  /** A frame that costs us more than the peer. */
  spendControl(): void {
    if (!this.#controls.spend()) throw tooMuch('frames that carry nothing');
  }

  /** A stream that the peer has opened and reset. */
  spendReset(): void {
    if (!this.#resets.spend()) throw tooMuch('resets');
  }
}
