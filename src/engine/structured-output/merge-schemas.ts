type Schema = Readonly<Record<string, unknown>>;

const larger = new Set(['minimum', 'exclusiveMinimum', 'minLength', 'minItems']);
const smaller = new Set(['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems']);
const annotations = new Set([
  'title',
  'description',
  'default',
  'examples',
  'format',
  '$defs',
  'definitions',
]);

/**
 * Schemas that all hold, as one: properties and required ones together, the narrower of two bounds, the types that
 * all allow. Throws what `refuse` makes of a keyword that is there twice and cannot be joined.
 */
export function mergeSchemas(parts: readonly Schema[], refuse: (what: string) => Error): Schema {
  const whole: Record<string, unknown> = {};
  for (const part of parts)
    for (const [key, value] of Object.entries(part)) {
      const before = whole[key];
      whole[key] = before === undefined ? value : joined(key, before, value, refuse);
    }
  return whole;
}

function joined(key: string, a: unknown, b: unknown, refuse: (what: string) => Error): unknown {
  if (JSON.stringify(a) === JSON.stringify(b) || annotations.has(key)) return a;
  if (key === 'properties' && isRecord(a) && isRecord(b))
    return Object.fromEntries(
      [...new Set([...Object.keys(a), ...Object.keys(b)])].map((name) => {
        const both = Object.hasOwn(a, name) && Object.hasOwn(b, name);
        return [name, both ? { allOf: [a[name], b[name]] } : Object.hasOwn(a, name) ? a[name] : b[name]];
      }),
    );
  if (key === 'required' && Array.isArray(a) && Array.isArray(b)) return [...new Set([...a, ...b])];
  if (typeof a === 'number' && typeof b === 'number' && larger.has(key)) return Math.max(a, b);
  if (typeof a === 'number' && typeof b === 'number' && smaller.has(key)) return Math.min(a, b);
  if (key === 'type') {
    const types = commonTypes([a].flat(), [b].flat());
    if (types.length > 0) return types;
  }
  throw refuse(`has ${JSON.stringify(key).slice(0, 100)} twice, which cannot be joined`);
}

function commonTypes(a: readonly unknown[], b: readonly unknown[]): unknown[] {
  const narrowed = (one: readonly unknown[], other: readonly unknown[]) =>
    one.filter((type) => other.includes(type) || (type === 'integer' && other.includes('number')));
  return [...new Set([...narrowed(a, b), ...narrowed(b, a)])];
}

function isRecord(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
