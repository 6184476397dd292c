/** One cached block's stay, told when its memory is given to something else. */
export interface BlockLife {
  readonly lifetimeSeconds: number;
  /** Since it was last taken into use. */
  readonly idleSeconds: number;
  /** Between one use and the next. */
  readonly reuseGapsSeconds: readonly number[];
}

export interface BlockLivesOptions {
  /** Part of the blocks that are watched, 0–1. */
  readonly sample: number;
  /** Milliseconds. */
  readonly now: () => number;
}

/** vLLM keeps as many. */
const maxUses = 4;

/** How long blocks stay, as vLLM's `--kv-cache-metrics` tells: one block in `1 / sample` is watched. */
export class BlockLives {
  readonly #every: number;
  readonly #now: () => number;
  readonly #watched = new Map<number, { readonly bornMs: number; readonly usesMs: number[] }>();
  #acquired = 0;
  #ended: BlockLife[] = [];

  constructor({ sample, now }: BlockLivesOptions) {
    this.#every = Math.max(1, Math.round(1 / sample));
    this.#now = now;
  }

  /** A block begins to hold something new. */
  acquire(block: number): void {
    this.#watched.delete(block);
    if (this.#acquired++ % this.#every !== 0) return;
    const bornMs = this.#now();
    this.#watched.set(block, { bornMs, usesMs: [bornMs] });
  }

  /** What it holds is used again. */
  use(block: number): void {
    const life = this.#watched.get(block);
    if (life === undefined) return;
    life.usesMs.push(this.#now());
    if (life.usesMs.length > maxUses) life.usesMs.shift();
  }

  /** What it holds is forgotten. */
  evict(block: number): void {
    const life = this.#watched.get(block);
    if (life === undefined) return;
    this.#watched.delete(block);
    const { bornMs, usesMs } = life;
    const nowMs = this.#now();
    this.#ended.push({
      lifetimeSeconds: (nowMs - bornMs) / 1000,
      idleSeconds: (nowMs - usesMs.at(-1)!) / 1000,
      reuseGapsSeconds: usesMs.slice(1).map((useMs, i) => (useMs - usesMs[i]!) / 1000),
    });
  }

  /** Those that have ended since the last call. */
  drain(): readonly BlockLife[] {
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }
}
