type Schema = Readonly<Record<string, unknown>>;

/** Keywords that `satisfies` understands; of others it cannot tell. */
export const scalarKeywords = new Set([
  ...['type', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  ...['minLength', 'maxLength', 'pattern'],
]);

/** Whether a constant has the type and keeps the bounds that stand beside it. */
export function satisfies(schema: Schema, value: unknown): boolean {
  const types = [schema['type'] ?? []].flat();
  if (types.length > 0 && !types.some((type) => hasType(type, value))) return false;
  if (typeof value === 'number') return keepsBounds(schema, value);
  if (typeof value === 'string') return keepsLength(schema, value);
  return true;
}

function hasType(type: unknown, value: unknown): boolean {
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}

function keepsBounds(schema: Schema, value: number): boolean {
  const bound = (key: string) => (typeof schema[key] === 'number' ? schema[key] : undefined);
  const factor = bound('multipleOf');
  return (
    value >= (bound('minimum') ?? value) &&
    value <= (bound('maximum') ?? value) &&
    value > (bound('exclusiveMinimum') ?? Number.NEGATIVE_INFINITY) &&
    value < (bound('exclusiveMaximum') ?? Number.POSITIVE_INFINITY) &&
    (factor === undefined || Math.abs(value / factor - Math.round(value / factor)) < 1e-9)
  );
}

function keepsLength({ minLength, maxLength, pattern }: Schema, value: string): boolean {
  const { length } = Array.from(value);
  if (typeof minLength === 'number' && length < minLength) return false;
  if (typeof maxLength === 'number' && length > maxLength) return false;
  return typeof pattern !== 'string' || new RegExp(pattern, 'u').test(value);
}
