import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { FilterDefinition, PickerDefinition, ScorerDefinition } from '../scheduling/index.ts';
import { didYouMean } from './nearest-name.ts';
import { found } from './schema-problems.ts';

/** What each kind of plugin file exports. */
export interface PluginDefinitions {
  readonly filter: FilterDefinition;
  readonly scorer: ScorerDefinition;
  readonly picker: PickerDefinition;
}
export type PluginKind = keyof PluginDefinitions;

const here = dirname(fileURLToPath(import.meta.url));
/** `.ts` when sources run, `.js` when compiled files do. */
const ownExtension = extname(fileURLToPath(import.meta.url));
const schedulingModule = join(here, '..', 'scheduling', `index${ownExtension}`);

/** Where the built-in plugins lie; a file's name is its name in the configuration. */
const builtInFolders: Readonly<Record<PluginKind, string>> = {
  filter: join(here, '..', 'scheduling', 'filters'),
  scorer: join(here, '..', '..', 'scorers'),
  picker: join(here, '..', 'scheduling', 'pickers'),
};

/**
 * Loads the definition that a configuration names: a built-in, a file (relative to `folder`), or an npm package
 * as seen from `folder`. Throws an Error whose message is for the configuration's author.
 */
export async function loadPlugin<Kind extends PluginKind>(
  kind: Kind,
  name: string,
  folder: string,
): Promise<PluginDefinitions[Kind]> {
  const builtIn = join(builtInFolders[kind], `${name}${ownExtension}`);
  if (!isPath(name) && dirname(builtIn) === builtInFolders[kind] && existsSync(builtIn)) {
    const module: { default?: unknown } = await import(pathToFileURL(builtIn).href);
    return checkDefinition(kind, name, module.default);
  }
  return checkDefinition(kind, name, await importFromUser(kind, name, folder));
}

/** Names of the built-in plugins of a kind, sorted. */
function builtInPlugins(kind: PluginKind): readonly string[] {
  const folder = builtInFolders[kind];
  if (!existsSync(folder)) return [];
  const isPlugin = (file: string) => extname(file) === ownExtension && file !== `index${ownExtension}`;
  return readdirSync(folder)
    .filter(isPlugin)
    .map((file) => basename(file, ownExtension))
    .sort();
}

/** The name in decision records and metric labels: a path's file name without its ending, else the name. */
export function shortName(name: string): string {
  return isPath(name) ? basename(name, extname(name)) : name;
}

function isPath(name: string): boolean {
  return name.startsWith('.') || isAbsolute(name) || /\.[cm]?[jt]s$/.test(name);
}

/** TypeScript works, and `pointsman/scheduling` resolves to ours wherever the file lies. */
async function importFromUser(kind: PluginKind, name: string, folder: string): Promise<unknown> {
  const target = isPath(name) ? resolve(folder, name) : name;
  if (isPath(name) && !existsSync(target)) throw new Error(`there is no file ${target}`);
  const { createJiti } = await import('jiti');
  const jiti = createJiti(join(folder, 'configuration'), {
    alias: { 'pointsman/scheduling': schedulingModule },
    fsCache: false,
    moduleCache: false,
  });
  if (!isPath(name) && jiti.esmResolve(name, { try: true }) === undefined) {
    const builtIns = builtInPlugins(kind);
    throw new Error(
      `there is no ${kind} "${name}".${didYouMean(name, builtIns)} Built in: ${builtIns.join(', ')}. A file of your own is written as a path, ./${name}.ts`,
    );
  }
  try {
    return await jiti.import(target, { default: true });
  } catch (error) {
    throw new Error(`${name} could not be loaded: ${messageOf(error)}`, { cause: error });
  }
}

function checkDefinition<Kind extends PluginKind>(
  kind: Kind,
  name: string,
  exported: unknown,
): PluginDefinitions[Kind] {
  const wish = `export default define${kind[0]!.toUpperCase()}${kind.slice(1)}({ ... }) from "pointsman/scheduling"`;
  const definition = exported as Partial<PluginDefinitions[PluginKind]> | undefined;
  if (typeof definition !== 'object' || definition === null || typeof definition.create !== 'function')
    throw new Error(`${name} has no plugin as its default export (${found(exported)}); expected ${wish}`);
  if (definition.kind !== kind)
    throw new Error(`${name} is a ${String(definition.kind)}, a ${kind} is needed here; expected ${wish}`);
  return definition as PluginDefinitions[Kind];
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
