import type { AdapterSource, NativeModel } from '../native/native.ts';

interface Held {
  readonly slot: number;
  readonly source: AdapterSource;
  /** What separates its KV blocks from others: see `keyOf`. */
  readonly key: string;
}

/**
 * Which adapters the model holds, by name. An adapter that is unloaded while sequences still run with it keeps
 * its slot until they have ended.
 *
 *   load(name) → held ── unload(name), replace(name) → retired ── release(unused) → free
 */
export class AdapterSlots {
  readonly #read: (path: string) => AdapterSource;
  readonly #held = new Map<string, Held>();
  readonly #retired: number[] = [];
  readonly #free: number[];
  readonly #loads = new Map<string, number>();

  constructor(slots: number, read: (path: string) => AdapterSource) {
    this.#read = read;
    this.#free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  get names(): readonly string[] {
    return [...this.#held.keys()];
  }

  /** Throws what reading throws, or if the name is taken or no slot is free. */
  load(model: NativeModel, name: string, path: string): void {
    if (this.#held.has(name)) throw new Error(`the adapter ${name} is loaded already; unload it first`);
    const source = this.#read(path);
    this.#fill(model, name, this.#freeSlot(), source);
  }

  /**
   * Loads other weights under a name that may be loaded. Sequences that run with the earlier ones keep them. If it
   * throws, as `load` does, the earlier ones stay.
   */
  replace(model: NativeModel, name: string, path: string, isUsed: (slot: number) => boolean): void {
    const before = this.#held.get(name);
    const source = this.#read(path);
    const slot = before === undefined || isUsed(before.slot) ? this.#freeSlot() : before.slot;
    this.#fill(model, name, slot, source);
    if (before !== undefined && slot !== before.slot) this.#retired.push(before.slot);
  }

  #freeSlot(): number {
    const slot = this.#free.at(-1);
    if (slot !== undefined) return slot;
    throw new Error(
      `all ${this.#held.size + this.#retired.length} places for adapters are taken; unload one or raise --max-cpu-loras`,
    );
  }

  #fill(model: NativeModel, name: string, slot: number, source: AdapterSource): void {
    model.loadAdapter(slot, source);
    if (this.#free.at(-1) === slot) this.#free.pop();
    const loads = (this.#loads.get(name) ?? 0) + 1;
    this.#loads.set(name, loads);
    this.#held.set(name, { slot, source, key: keyOf(name, loads) });
  }

  /** New sequences cannot have it; false if it is not loaded. */
  unload(name: string): boolean {
    const held = this.#held.get(name);
    if (held === undefined) return false;
    this.#held.delete(name);
    this.#retired.push(held.slot);
    return true;
  }

  /** Frees the slots of retired adapters that no sequence uses. */
  release(model: NativeModel | undefined, isUsed: (slot: number) => boolean): void {
    for (let i = this.#retired.length - 1; i >= 0; i--) {
      const slot = this.#retired[i]!;
      if (isUsed(slot)) continue;
      model?.unloadAdapter(slot);
      this.#retired.splice(i, 1);
      this.#free.push(slot);
    }
  }

  get hasRetired(): boolean {
    return this.#retired.length > 0;
  }

  /** Slot and hash key of a loaded adapter. */
  find(name: string): { readonly slot: number; readonly key: string } | undefined {
    return this.#held.get(name);
  }

  /** Puts all adapters into a model that was opened anew. */
  restore(model: NativeModel): void {
    for (const { slot, source } of this.#held.values()) model.loadAdapter(slot, source);
  }
}

/**
 * vLLM hashes the adapter's name into every block. A name that is loaded again may mean other weights, whose KV
 * must not be found under the old hashes: it gets a number.
 */
function keyOf(name: string, loads: number): string {
  return loads === 1 ? name : `${name}#${loads}`;
}
