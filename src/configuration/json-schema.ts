import { z } from 'zod';
import type { Path } from './problems.ts';
import { configurationSchema } from './schema.ts';

export interface JsonSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly [keyword: string]: unknown;
}

/** For editors, and for the messages about unknown keys. */
export function toJsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
}

/** What `config/pointsman.schema.json` holds; editors complete and check YAML with it. */
export function configurationJsonSchema(): JsonSchema {
  const { $schema, ...schema } = toJsonSchema(configurationSchema);
  return { $schema, title: 'Pointsman configuration', ...schema };
}

/** The keys that an object at this path of our configuration may have. */
export function knownKeys(path: Path): readonly string[] {
  return knownKeysOf(configurationJsonSchema(), path);
}

/** The keys that an object at this path may have; empty if it is no object with fixed keys. */
export function knownKeysOf(whole: JsonSchema, path: Path): readonly string[] {
  let schema: JsonSchema | undefined = whole;
  for (const key of path) {
    const properties: JsonSchema | undefined = schema?.properties?.[String(key)];
    const others: JsonSchema | boolean | undefined = schema?.additionalProperties;
    schema =
      typeof key === 'number'
        ? schema?.items
        : (properties ?? (typeof others === 'object' ? others : undefined));
    schema = schema?.anyOf?.find((branch) => branch.properties !== undefined) ?? schema;
  }
  return Object.keys(schema?.properties ?? {});
}
