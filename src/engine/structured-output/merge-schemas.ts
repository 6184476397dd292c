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
 * all allow. What one part says of further properties holds for those that only another part describes. Throws what
 * `refuse` makes of a keyword that is there twice and cannot be joined.
 */
export function mergeSchemas(parts: readonly Schema[], refuse: (what: string) => Error): Schema {
  const whole: Record<string, unknown> = {};
  for (const part of parts)
    for (const [key, value] of Object.entries(heldToOthers(part, parts))) {
      const before = whole[key];
      whole[key] = before === undefined ? value : joined(key, before, value, refuse);
    }
  return whole;
}

/** A part without the properties that others forbid, and with what others ask of the rest. */
function heldToOthers(part: Schema, parts: readonly Schema[]): Schema {
  if (!isRecord(part['properties'])) return part;
  const properties = Object.entries(part['properties']).flatMap(([name, value]) => {
    const asked = parts
      .filter((other) => other !== part && isFurther(other, name))
      .map((other) => other['additionalProperties']);
    if (asked.includes(false)) return [];
    return [[name, asked.length === 0 ? value : { allOf: [value, ...asked] }] as const];
  });
  return { ...part, properties: Object.fromEntries(properties) };
}

/** Whether `additionalProperties` of a schema has a say on a property of this name. */
function isFurther({ additionalProperties, properties, patternProperties }: Schema, name: string): boolean {
  if (additionalProperties === undefined || additionalProperties === true) return false;
  if (isRecord(properties) && Object.hasOwn(properties, name)) return false;
  return (
    !isRecord(patternProperties) ||
    !Object.keys(patternProperties).some((pattern) => new RegExp(pattern, 'u').test(name))
  );
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
  if (key === 'additionalProperties') {
    if (a === false || b === false) return false;
    return a === true ? b : b === true ? a : { allOf: [a, b] };
  }
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
