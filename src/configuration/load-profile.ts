import type { z } from 'zod';
import type { Filter, Picker, Scorer } from '../scheduling/index.ts';
import {
  loadPlugin,
  messageOf,
  type PluginDefinitions,
  type PluginKind,
  shortName,
} from './plugin-loader.ts';
import { mergeParameters } from './plugin-parameters.ts';
import type { Path } from './problems.ts';
import { pluginReferenceSchema, profileSchema } from './schema.ts';
import type { SchemaProblem } from './schema-problems.ts';

/** The plugins of a profile, made and named, ready for `Profile`. */
export interface LoadedProfile {
  readonly filters: readonly { readonly name: string; readonly filter: Filter }[];
  readonly scorers: readonly { readonly name: string; readonly weight: number; readonly scorer: Scorer }[];
  readonly picker: { readonly name: string; readonly picker: Picker };
}

type Reference = z.output<typeof pluginReferenceSchema>;

type InstanceOf<Kind extends PluginKind> = ReturnType<PluginDefinitions[Kind]['create']>;

/**
 * Loads every plugin that the section names, also when another one fails or the section has mistakes of its
 * own, so that all problems are told at once. Mistakes of the section itself are the schema's to report: then
 * there is no profile. `folder` anchors paths.
 */
export async function loadProfile(
  section: unknown,
  folder: string,
): Promise<{ readonly profile: LoadedProfile | undefined; readonly problems: readonly SchemaProblem[] }> {
  const parsed = profileSchema.safeParse(section);
  const usual = profileSchema.parse({});
  const { filters: filterList, scorers: scorerList, picker: pickerItem } = { ...usual, ...asRecord(section) };
  const problems: SchemaProblem[] = [];
  const make = async <Kind extends PluginKind>(kind: Kind, item: unknown, path: Path) => {
    const reference = pluginReferenceSchema.safeParse(item).data;
    if (reference === undefined) return { name: '', instance: undefined };
    const made = await makePlugin(kind, reference, path, folder);
    problems.push(...made.problems);
    return { name: shortName(reference.name), instance: made.instance };
  };
  const filters = await inOrder(asList(filterList), (item, at) =>
    make('filter', item, ['profile', 'filters', at]),
  );
  const scorers = await inOrder(asList(scorerList), (item, at) =>
    make('scorer', item, ['profile', 'scorers', at]),
  );
  const picker = await make('picker', pickerItem, ['profile', 'picker']);
  if (problems.length > 0 || !parsed.success) return { profile: undefined, problems };
  return {
    profile: {
      filters: filters.map(({ name, instance }) => ({ name, filter: instance! })),
      scorers: scorers.map(({ name, instance }, at) => ({
        name,
        weight: parsed.data.scorers[at]!.weight,
        scorer: instance!,
      })),
      picker: { name: picker.name, picker: picker.instance! },
    },
    problems,
  };
}

async function makePlugin<Kind extends PluginKind>(
  kind: Kind,
  { name, parameters: given }: Reference,
  path: Path,
  folder: string,
): Promise<{ readonly instance: InstanceOf<Kind> | undefined; readonly problems: readonly SchemaProblem[] }> {
  const failed = (at: Path, message: string, unknownKey?: string) => ({
    instance: undefined,
    problems: [{ path: at, unknownKey, message }],
  });
  let definition: PluginDefinitions[Kind];
  try {
    definition = await loadPlugin(kind, name, folder);
  } catch (error) {
    return failed([...path, 'name'], messageOf(error));
  }
  const { parameters, problems } = mergeParameters(given, definition.defaults ?? {});
  if (problems.length > 0) {
    const at = [...path, 'parameters'];
    return {
      instance: undefined,
      problems: problems.map(({ parameter, isUnknown, message }) => ({
        path: isUnknown ? at : [...at, parameter],
        unknownKey: isUnknown ? parameter : undefined,
        message: isUnknown ? `${kind} ${name}: ${message}` : message,
      })),
    };
  }
  try {
    const instance = definition.create(parameters) as InstanceOf<Kind>;
    if (typeof instance === 'function') return { instance, problems: [] };
    return failed([...path, 'name'], `${kind} ${name}: create() must return a function`);
  } catch (error) {
    const hasParameters = Object.keys(given).length > 0;
    return failed([...path, hasParameters ? 'parameters' : 'name'], `${kind} ${name}: ${messageOf(error)}`);
  }
}

/** One after the other: problems then stand in the order of the file. */
async function inOrder<R>(
  items: readonly unknown[],
  each: (item: unknown, at: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (const [at, item] of items.entries()) results.push(await each(item, at));
  return results;
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
