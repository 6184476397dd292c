import { CheckpointError } from '../checkpoint-error.ts';
import type { GgufFile, GgufScalar } from './gguf-file.ts';

/** Typed access to the metadata of a GGUF file; errors name the file and the key. */
export class GgufFields {
  readonly #gguf: GgufFile;

  constructor(gguf: GgufFile) {
    this.#gguf = gguf;
  }

  has(key: string): boolean {
    return this.#gguf.metadata.has(key);
  }

  text(key: string): string | undefined {
    const value = this.#gguf.metadata.get(key);
    if (value === undefined || typeof value === 'string') return value;
    throw this.#refuse(key, 'text');
  }

  number(key: string): number | undefined {
    const value = this.#gguf.metadata.get(key);
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
    throw this.#refuse(key, 'a number');
  }

  boolean(key: string): boolean | undefined {
    const value = this.#gguf.metadata.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.#refuse(key, 'a boolean');
  }

  texts(key: string): readonly string[] | undefined {
    return this.#list(key, (value): value is string => typeof value === 'string', 'a list of texts');
  }

  numbers(key: string): readonly number[] | undefined {
    return this.#list(key, (value): value is number => typeof value === 'number', 'a list of numbers');
  }

  missing(key: string): CheckpointError {
    return new CheckpointError(`${this.#gguf.file} has no ${key} in its metadata`);
  }

  #list<T extends GgufScalar>(key: string, is: (value: GgufScalar) => value is T, expected: string) {
    const value = this.#gguf.metadata.get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every(is)) return value;
    throw this.#refuse(key, expected);
  }

  #refuse(key: string, expected: string): CheckpointError {
    const value = this.#gguf.metadata.get(key);
    const found = Array.isArray(value) ? `a list of ${value.length}` : JSON.stringify(value);
    return new CheckpointError(`${this.#gguf.file}: ${key} should be ${expected}, found ${found}`);
  }
}
