import type { ResidencyChange } from './event-prefix-index.ts';
import type { Random } from './random.ts';
import type { Router } from './router.ts';
import type { SimulatedEngine } from './simulated-engine.ts';

/** Carries KV events from engines to the routers that want them, one batch per step, some of them lost. */
export class ResidencyFeed {
  readonly #listening: readonly Router[];
  readonly #pending: readonly ResidencyChange[][];
  readonly #lostShare: number;
  readonly #random: Random;

  constructor(
    engines: readonly SimulatedEngine[],
    routers: readonly Router[],
    { lostShare, random }: { readonly lostShare: number; readonly random: Random },
  ) {
    this.#listening = routers.filter((router) => router.residencyChanged !== undefined);
    this.#pending = engines.map(() => []);
    this.#lostShare = lostShare;
    this.#random = random;
    if (this.#listening.length === 0) return;
    for (const [index, engine] of engines.entries()) {
      const pending = this.#pending[index]!;
      engine.memory.cache.listener = {
        stored: (block) => pending.push(block),
        removed: (block) => pending.push(~block),
      };
    }
  }

  /** Delivers what the engine has published since the last call. */
  flush(engine: number): void {
    const changes = this.#pending[engine]!;
    if (changes.length === 0) return;
    for (const router of this.#listening) {
      if (this.#random() >= this.#lostShare) router.residencyChanged?.(engine, changes);
    }
    changes.length = 0;
  }
}
