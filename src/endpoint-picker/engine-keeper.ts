import type { Place } from '../flow-control/index.ts';
import type { InferencePool } from '../pool/inference-pool.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';

/** A request that an engine may be kept for, or from. */
export interface Comer {
  readonly request: InferenceRequest;
  readonly arrivedAtMs: number;
}

interface Kept {
  readonly engine: Endpoint;
  readonly comer: Comer;
}

/** Keeps one engine at most for a request that needs much of its memory, until what runs there has left that much. */
export class EngineKeeper {
  readonly #pool: Pick<InferencePool, 'find'>;
  #kept: Kept | undefined;

  constructor({ pool }: { readonly pool: Pick<InferencePool, 'find'> }) {
    this.#pool = pool;
  }

  /** Instead of the one that was kept before. `waitMs`: until the request fits there, as foreseen. */
  keep(engine: Endpoint, comer: Comer, waitMs: number): Place {
    const kept = { engine, comer };
    this.#kept = kept;
    return {
      waitMs,
      isLost: () => this.#pool.find(engine)?.isReady !== true,
      free: () => {
        if (this.#kept === kept) this.#kept = undefined;
      },
    };
  }

  /** Of the engine that is kept. */
  get slot(): number | undefined {
    return this.#kept?.engine.slot;
  }

  isKeptFor({ slot }: Endpoint, request: InferenceRequest): boolean {
    return this.#kept?.comer.request === request && this.#kept.engine.slot === slot;
  }

  /** This one is kept for another request, which came before and is no less urgent. An idle engine takes all. */
  isKeptFrom({ slot, inFlight }: Endpoint, { request, arrivedAtMs }: Comer): boolean {
    if (this.#kept === undefined || this.#kept.engine.slot !== slot || inFlight.requests === 0) return false;
    const { comer } = this.#kept;
    if (comer.request === request || request.priority > comer.request.priority) return false;
    return arrivedAtMs >= comer.arrivedAtMs;
  }
}
