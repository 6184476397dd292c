import { ServiceError } from '../../protocol/errors.ts';
import type { EngineClient } from '../engine-client.ts';
import { clipped } from './request-fields.ts';

/** A LoRA adapter that requests may name as their model. */
export interface ServedAdapter {
  readonly name: string;
  readonly path: string;
  readonly baseModelName?: string | undefined;
  /** Seconds since 1970. */
  readonly createdSeconds: number;
}

/** The adapters that this server offers: those of the start, and those loaded since. */
export class ServedAdapters {
  readonly #engine: EngineClient;
  readonly #modelNames: readonly string[];
  readonly #byName: Map<string, ServedAdapter>;

  constructor(engine: EngineClient, modelNames: readonly string[], loaded: readonly ServedAdapter[]) {
    this.#engine = engine;
    this.#modelNames = modelNames;
    this.#byName = new Map(loaded.map((adapter) => [adapter.name, adapter]));
    const taken = loaded.find(({ name }) => modelNames.includes(name));
    if (taken !== undefined)
      throw new Error(`the adapter ${taken.name} has the name of the model; give it another one`);
  }

  get isOn(): boolean {
    return this.#engine.info.maxLoras !== undefined;
  }

  get all(): readonly ServedAdapter[] {
    return [...this.#byName.values()];
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /**
   * Rejects with `invalid_request` if the folder is no adapter for this model, or the name is taken: one that
   * `mayReplace` only by the model. An adapter that was to be replaced then stays.
   */
  async load(
    name: string,
    path: string,
    { nowSeconds, mayReplace }: { readonly nowSeconds: number; readonly mayReplace: boolean },
  ): Promise<void> {
    if (this.#modelNames.includes(name) || (this.#byName.has(name) && !mayReplace))
      throw new ServiceError(
        'invalid_request',
        `The lora adapter '${clipped(name)}' has already been loaded, or is the model itself. Unload it first, or choose another name.`,
        { param: 'lora_name' },
      );
    try {
      await this.#engine.loadAdapter(name, path, mayReplace);
    } catch (error) {
      throw new ServiceError('invalid_request', (error as Error).message, {
        cause: error,
        param: 'lora_path',
      });
    }
    this.#byName.set(name, { name, path, createdSeconds: nowSeconds });
  }

  /** Rejects with `model_not_found` if there is no such adapter. */
  async unload(name: string): Promise<void> {
    if (!this.#byName.delete(name))
      throw new ServiceError('model_not_found', `The lora adapter '${clipped(name)}' cannot be found.`, {
        param: 'lora_name',
      });
    await this.#engine.unloadAdapter(name);
  }
}
