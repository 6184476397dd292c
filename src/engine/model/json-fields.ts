import { readFileSync } from 'node:fs';
import { CheckpointError } from './checkpoint-error.ts';

/** Native code counts in 32 bits. */
const LARGEST_COUNT = 2 ** 31 - 1;

/** A JSON object from a file, with typed access that names the file and the field when something is off. */
export class JsonFields {
  readonly #where: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(where: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new CheckpointError(`${where}: expected a JSON object, found ${describe(value)}`);
    }
    this.#where = where;
    this.#fields = value as Record<string, unknown>;
  }

  static read(file: string): JsonFields {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (cause) {
      throw new CheckpointError(`${file} cannot be read; a model folder needs it`, { cause });
    }
    return JsonFields.parse(file, text);
  }

  static parse(where: string, text: string): JsonFields {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new CheckpointError(`${where} is not valid JSON`, { cause });
    }
    return new JsonFields(where, value);
  }

  /** Absent and null are the same: transformers writes null for "not set". */
  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  /** Present, even if null. */
  mentions(name: string): boolean {
    return this.#fields[name] !== undefined;
  }

  raw(name: string): unknown {
    return this.#fields[name] ?? undefined;
  }

  keys(): readonly string[] {
    return Object.keys(this.#fields);
  }

  number(name: string, otherwise?: number): number {
    const value = this.raw(name) ?? otherwise;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.refuse(name, 'a number', value);
  }

  /** An integer from 1 to `most`. */
  count(name: string, otherwise?: number, most = LARGEST_COUNT): number {
    const value = this.number(name, otherwise);
    if (Number.isSafeInteger(value) && value > 0 && value <= most) return value;
    throw this.refuse(
      name,
      most === LARGEST_COUNT ? 'a positive integer' : `an integer from 1 to ${most}`,
      value,
    );
  }

  boolean(name: string, otherwise: boolean): boolean {
    const value = this.raw(name) ?? otherwise;
    if (typeof value === 'boolean') return value;
    throw this.refuse(name, 'true or false', value);
  }

  text(name: string): string | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'string') return value;
    throw this.refuse(name, 'a string', value);
  }

  list(name: string): readonly unknown[] | undefined {
    const value = this.raw(name);
    if (value === undefined || Array.isArray(value)) return value;
    throw this.refuse(name, 'a list', value);
  }

  object(name: string): JsonFields | undefined {
    return this.has(name) ? new JsonFields(`${this.#where}: ${name}`, this.raw(name)) : undefined;
  }

  refuse(name: string, expected: string, found: unknown): CheckpointError {
    return new CheckpointError(`${this.#where}: ${name} should be ${expected}, found ${describe(found)}`);
  }
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
