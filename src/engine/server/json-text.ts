import { ServiceError } from '../../protocol/errors.ts';

/** Deeper than any schema that people write; what reads a body may call itself once a level. */
const deepest = 128;

/**
 * The value of a JSON text. Throws `invalid_json` if it is none, `invalid_request` if it nests deeper than
 * 128 levels. `what` begins the message, such as "The request body".
 */
export function parseJson(text: string, what: string): unknown {
  const value = parse(text, what);
  let level = isHolder(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > deepest)
      throw new ServiceError(
        'invalid_request',
        `${what} may nest objects and lists up to ${deepest} levels deep; this one nests deeper.`,
      );
    const inner: object[] = [];
    for (const holder of level)
      for (const entry of Array.isArray(holder) ? (holder as unknown[]) : Object.values(holder))
        if (isHolder(entry)) inner.push(entry);
    level = inner;
  }
  return value;
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ServiceError('invalid_json', `${what} is not valid JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function isHolder(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
