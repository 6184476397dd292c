import { ServiceError } from '../../protocol/errors.ts';

/** A request body that is known to be an object. Fields that nobody reads are ignored, as vLLM does. */
export type RequestBody = Readonly<Record<string, unknown>>;

export interface NumberBounds {
  readonly min?: number;
  readonly max?: number;
  /** The value must be larger than this. */
  readonly above?: number;
  readonly isInteger?: boolean;
}

export function invalid(message: string, param: string): ServiceError {
  return new ServiceError('invalid_request', message, { param });
}

export function readBody(value: unknown): RequestBody {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ServiceError('invalid_request', 'The request body must be a JSON object.');
  return value as RequestBody;
}

/** Absent and null mean the same: clients send null for "not given". */
export function isGiven(body: RequestBody, name: string): boolean {
  return body[name] !== undefined && body[name] !== null;
}

export function readNumber(body: RequestBody, name: string, bounds: NumberBounds = {}): number | undefined {
  if (!isGiven(body, name)) return undefined;
  return checkNumber(body[name], name, bounds);
}

/** `name` is what the message calls the value, and the field that it blames. */
export function checkNumber(value: unknown, name: string, bounds: NumberBounds): number {
  const { min, max, above, isInteger = false } = bounds;
  const kind = isInteger ? 'an integer' : 'a number';
  if (typeof value !== 'number' || !Number.isFinite(value) || (isInteger && !Number.isInteger(value)))
    throw invalid(`${name} must be ${kind}, got ${shown(value)}.`, name);
  if (above !== undefined && value <= above)
    throw invalid(`${name} must be greater than ${above}, got ${value}.`, name);
  if (min !== undefined && max !== undefined && (value < min || value > max))
    throw invalid(`${name} must be in [${min}, ${max}], got ${value}.`, name);
  if (min !== undefined && value < min)
    throw invalid(
      min === 0 && !isInteger
        ? `${name} must be non-negative, got ${value}.`
        : `${name} must be at least ${min}, got ${value}.`,
      name,
    );
  if (max !== undefined && value > max) throw invalid(`${name} must be at most ${max}, got ${value}.`, name);
  return value;
}

export function readBoolean(body: RequestBody, name: string, fallback: boolean): boolean {
  const value = body[name];
  if (value === undefined || value === null) return fallback;
  if (typeof value !== 'boolean') throw invalid(`${name} must be true or false, got ${shown(value)}.`, name);
  return value;
}

export function readString(body: RequestBody, name: string): string | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw invalid(`${name} must be a string, got ${shown(value)}.`, name);
  return value;
}

export function readObject(body: RequestBody, name: string): RequestBody | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value))
    throw invalid(`${name} must be an object, got ${shown(value)}.`, name);
  return value as RequestBody;
}

export function readArray(body: RequestBody, name: string): readonly unknown[] | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw invalid(`${name} must be a list, got ${shown(value)}.`, name);
  return value;
}

/** A list of objects, such as `messages` and `tools`. */
export function readRecords(body: RequestBody, name: string): readonly RequestBody[] | undefined {
  const entries = readArray(body, name);
  for (const [i, entry] of (entries ?? []).entries())
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
      throw invalid(`${name}[${i}] must be an object, got ${shown(entry)}.`, name);
  return entries as readonly RequestBody[] | undefined;
}

/** A list of ids that the vocabulary has. */
export function readTokenIds(
  body: RequestBody,
  name: string,
  vocabSize: number,
): readonly number[] | undefined {
  const ids = readArray(body, name);
  return ids === undefined ? undefined : checkTokenIds(ids, name, vocabSize);
}

export function checkTokenIds(ids: readonly unknown[], name: string, vocabSize: number): readonly number[] {
  for (const id of ids)
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw invalid(
        `${name} must hold token ids, integers from 0 to ${vocabSize - 1}; it has ${shown(id)}.`,
        name,
      );
  return ids as readonly number[];
}

/** Fields whose effect would be missed in silence are refused, not ignored. */
export function refuseUnsupported(body: RequestBody, fields: Readonly<Record<string, unknown>>): void {
  for (const [name, harmless] of Object.entries(fields)) {
    const value = body[name];
    if (value === undefined || value === null || value === harmless) continue;
    if (Array.isArray(value) && value.length === 0) continue;
    throw invalid(`${name} is not supported by this engine; leave it out.`, name);
  }
}

/** A value in an error message: short, and never a long part of a prompt. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return clipped(JSON.stringify(value), 40);
}

/** A name that a client chose, as part of an error message. */
export function clipped(name: string, maxCharacters = 100): string {
  return name.length > maxCharacters ? `${name.slice(0, maxCharacters)}…` : name;
}
