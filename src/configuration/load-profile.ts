import type { z } from 'zod';
import type { Filter, Parameters, Picker, Scorer } from '../scheduling/index.ts';
import {
  loadPlugin,
  messageOf,
  type PluginDefinitions,
  type PluginKind,
  shortName,
} from './plugin-loader.ts';
import { mergeParameters } from './plugin-parameters.ts';
import type { Path } from './problems.ts';
import { pluginReference as pluginReferenceSchema, profile as profileSchema } from './schema/profile.ts';
import type { SchemaProblem } from './schema-problems.ts';
import { strategyPlugins } from './strategies.ts';

/** The plugins of a profile, made and named, ready for `createProfile`. */
export interface LoadedProfile {
  readonly filters: readonly (LoadedPlugin & { readonly filter: Filter })[];
  readonly scorers: readonly (LoadedPlugin & { readonly weight: number; readonly scorer: Scorer })[];
  readonly picker: LoadedPlugin & { readonly picker: Picker };
}

interface LoadedPlugin {
  readonly name: string;
  readonly description: string;
  /** Those in force: the given ones over the defaults. */
  readonly parameters: Parameters;
}

type Reference = z.output<typeof pluginReferenceSchema>;

interface MadePlugin<Kind extends PluginKind> extends LoadedPlugin {
  readonly instance: InstanceOf<Kind>;
}

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
  const whole = {
    ...profileSchema.parse({}),
    ...strategyPlugins(asRecord(section)['strategy']),
    ...asRecord(section),
  };
  const parsed = profileSchema.safeParse(section === undefined ? section : whole);
  const { filters: filterList, scorers: scorerList, picker: pickerItem } = whole;
  const problems: SchemaProblem[] = [];
  const make = async <Kind extends PluginKind>(kind: Kind, item: unknown, path: Path) => {
    const reference = pluginReferenceSchema.safeParse(item).data;
    if (reference === undefined) return undefined;
    const made = await makePlugin(kind, reference, path, folder);
    problems.push(...made.problems);
    return made.plugin;
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
      filters: filters.map((plugin) => withInstance(plugin!, 'filter')),
      scorers: scorers.map((plugin, at) => ({
        ...withInstance(plugin!, 'scorer'),
        weight: parsed.data.scorers[at]!.weight,
      })),
      picker: withInstance(picker!, 'picker'),
    },
    problems,
  };
}

async function makePlugin<Kind extends PluginKind>(
  kind: Kind,
  { name, parameters: given }: Reference,
  path: Path,
  folder: string,
): Promise<{ readonly plugin: MadePlugin<Kind> | undefined; readonly problems: readonly SchemaProblem[] }> {
  const failed = (at: Path, message: string, unknownKey?: string) => ({
    plugin: undefined,
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
      plugin: undefined,
      problems: problems.map(({ parameter, isUnknown, message }) => ({
        path: isUnknown ? at : [...at, parameter],
        unknownKey: isUnknown ? parameter : undefined,
        message: isUnknown ? `${kind} ${name}: ${message}` : message,
      })),
    };
  }
  try {
    const instance = definition.create(parameters) as InstanceOf<Kind>;
    if (typeof instance === 'function')
      return {
        plugin: { name: shortName(name), description: definition.description ?? '', parameters, instance },
        problems: [],
      };
    return failed([...path, 'name'], `${kind} ${name}: create() must return a function`);
  } catch (error) {
    const hasParameters = Object.keys(given).length > 0;
    return failed([...path, hasParameters ? 'parameters' : 'name'], `${kind} ${name}: ${messageOf(error)}`);
  }
}

/** `instance` under the name of its kind, as `createProfile` takes it. */
function withInstance<Kind extends PluginKind>({ instance, ...plugin }: MadePlugin<Kind>, kind: Kind) {
  return { ...plugin, [kind]: instance } as LoadedPlugin & Record<Kind, InstanceOf<Kind>>;
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
