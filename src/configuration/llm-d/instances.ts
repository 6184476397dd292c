import type { z } from 'zod';
import { knownKeysOf, toJsonSchema } from '../json-schema.ts';
import { didYouMean } from '../nearest-name.ts';
import { type SchemaProblem, schemaProblems } from '../schema-problems.ts';
import type { EndpointPickerConfig } from './endpoint-picker-config.ts';
import type { Mapping, MappingContext, PluginType } from './plugin-type.ts';
import { outputRatioOf } from './plugins/data.ts';
import { pluginTypes } from './plugins/index.ts';

/** An entry of `plugins`, named, and what it becomes. */
export interface Instance {
  readonly name: string;
  readonly type: string;
  /** Index in `plugins`. */
  readonly at: number;
  readonly definition: PluginType;
  readonly mapping: Mapping;
}

type Entries = EndpointPickerConfig['plugins'];

/** Names, types and parameters of all plugins; those with a mistake are left out and told. */
export function readInstances(entries: Entries): {
  readonly instances: readonly Instance[];
  readonly problems: readonly SchemaProblem[];
} {
  const problems: SchemaProblem[] = [];
  const instances: Instance[] = [];
  const names = new Set<string>();
  const context = mappingContext(entries);
  for (const [at, { type, name = type, parameters = {} }] of entries.entries()) {
    if (names.has(name))
      problems.push(
        problem(['plugins', at], `a second plugin named "${name}"; give it a \`name\` of its own`),
      );
    names.add(name);
    const definition = pluginTypes.get(type);
    if (definition === undefined) {
      const hint = renamedTypes[type] ?? didYouMean(type, [...pluginTypes.keys()]);
      const message = `the plugin type "${type}" is none that is known of llm-d.${hint}`;
      problems.push(problem(['plugins', at, 'type'], message));
      continue;
    }
    const parsed = definition.parameters.safeParse(parameters, { reportInput: true });
    problems.push(...parameterProblems(definition.parameters, parsed.error?.issues ?? [], at));
    if (!parsed.success) continue;
    const mapping = definition.map(parsed.data as never, context);
    instances.push({ name, type, at, definition, mapping });
  }
  return { instances, problems };
}

export function problem(path: SchemaProblem['path'], message: string): SchemaProblem {
  return { path, unknownKey: undefined, message };
}

function parameterProblems(
  schema: z.ZodType,
  issues: readonly z.core.$ZodIssue[],
  at: number,
): SchemaProblem[] {
  const keysAt = (path: SchemaProblem['path']) => knownKeysOf(toJsonSchema(schema), path);
  return schemaProblems(issues, keysAt).map((each) => ({
    ...each,
    path: ['plugins', at, 'parameters', ...each.path],
  }));
}

/** Names that other names are nearer to than their new ones. */
const renamedTypes: Readonly<Record<string, string>> = {
  'kv-cache-scorer': ' It is kv-cache-utilization-scorer now.',
};

const prefixProducers = ['approx-prefix-cache-producer'];

function mappingContext(entries: Entries): MappingContext {
  const entryOf = (name: string) => entries.find((entry) => (entry.name ?? entry.type) === name);
  return {
    outputRatioOf: (producer = 'inflight-load-producer') => {
      const entry = entryOf(producer);
      return entry?.type === 'inflight-load-producer' ? outputRatioOf(entry.parameters) : 0;
    },
    prefixProblem: (producer = prefixProducers[0]!) => {
      const type = entryOf(producer)?.type ?? producer;
      if (prefixProducers.includes(type)) return undefined;
      return entryOf(producer) === undefined
        ? `there is no plugin "${producer}" to tell prefix matches.${didYouMean(
            producer,
            entries.map((entry) => entry.name ?? entry.type),
          )}`
        : `prefix matches of ${type} are not there; use approx-prefix-cache-producer`;
    },
  };
}
