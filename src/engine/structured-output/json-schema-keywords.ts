type Schema = Readonly<Record<string, unknown>>;

/** Keywords that are held to, and those that say nothing about the text. Any other one is refused. */
export const understood = new Set([
  ...['type', 'enum', 'const', '$ref', 'anyOf', 'oneOf', 'allOf', '$defs', 'definitions'],
  ...['properties', 'required', 'additionalProperties', 'items', 'prefixItems', 'minItems', 'maxItems'],
  ...['minLength', 'maxLength', 'pattern', 'format', 'patternProperties', 'propertyNames'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
]);
const annotations = new Set([
  ...['title', 'description', 'default', 'examples', '$schema', '$id', 'id', '$comment', '$anchor'],
  ...['deprecated', 'readOnly', 'writeOnly', 'discriminator', 'strict'],
  ...['contentEncoding', 'contentMediaType', 'externalDocs', 'example'],
]);

/** A keyword that says nothing about the text. */
export function isAnnotation(key: string, value: unknown): boolean {
  return annotations.has(key) || key.startsWith('x-') || (key === 'uniqueItems' && value === false);
}

/** Whether anything but annotations and definitions is said. */
export function saysMore(schema: Schema): boolean {
  return Object.entries(schema).some(
    ([key, value]) => !isAnnotation(key, value) && key !== '$defs' && key !== 'definitions',
  );
}

/** A schema without a type still means one by its keywords. */
export function impliedTypes(schema: Schema): readonly string[] {
  const has = (...keys: readonly string[]) => keys.some((key) => schema[key] !== undefined);
  if (has('properties', 'additionalProperties', 'patternProperties', 'propertyNames', 'required'))
    return ['object'];
  if (has('items', 'prefixItems', 'minItems', 'maxItems')) return ['array'];
  if (has('pattern', 'minLength', 'maxLength', 'format')) return ['string'];
  if (has('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf')) return ['number'];
  return [];
}
