import { z } from 'zod';
import type { Path } from './problems.ts';
import { configurationSchema } from './schema.ts';

export interface JsonSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly [keyword: string]: unknown;
}

/** What `config/pointsman.schema.json` holds; editors complete and check YAML with it. */
export function configurationJsonSchema(): JsonSchema {
  const { $schema, ...schema } = z.toJSONSchema(configurationSchema, { io: 'input' });
  return { $schema, title: 'Pointsman configuration', ...schema } as JsonSchema;
}

/** The keys that an object at this path may have; empty if it is no object with fixed keys. */
export function knownKeys(path: Path): readonly string[] {
  let schema: JsonSchema | undefined = configurationJsonSchema();
  for (const key of path) {
    const properties: JsonSchema | undefined = schema?.properties?.[String(key)];
    const others: JsonSchema | boolean | undefined = schema?.additionalProperties;
    schema =
      typeof key === 'number'
        ? schema?.items
        : (properties ?? (typeof others === 'object' ? others : undefined));
  }
  return Object.keys(schema?.properties ?? {});
}
