import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { crossChecks } from './cross-checks.ts';
import { fileVersion } from './file-version.ts';
import {
  type Imported,
  importEndpointPickerConfig,
  isEndpointPickerConfig,
  type MappingRow,
} from './llm-d/index.ts';
import { type LoadedProfile, loadProfile } from './load-profile.ts';
import { ConfigurationError, formatPath, type Path, type Problem } from './problems.ts';
import { type Configuration, configurationSchema } from './schema.ts';
import { type SchemaProblem, schemaProblems } from './schema-problems.ts';
import { hasLateBinding } from './strategies.ts';
import { parseYaml, type YamlDocument } from './yaml-document.ts';

/** A value from the command line; it beats the file. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  /** As the user wrote it, e.g. `--port`. */
  readonly flag: string;
}

export interface LoadOptions {
  /** The YAML file; without one, defaults and overrides alone count. */
  readonly file?: string | undefined;
  /** The YAML itself, in place of a file. */
  readonly text?: { readonly yaml: string; readonly flag: string } | undefined;
  readonly overrides?: readonly Override[];
  /** Of a document of llm-d's: after its own, over them. */
  readonly featureGates?: readonly string[];
  /** Paths in a configuration without a file start here. */
  readonly workingFolder?: string;
}

/** What became of a document of llm-d's. */
export interface Importation {
  readonly rows: readonly MappingRow[];
  /** What has no effect here, with its place. */
  readonly warnings: readonly Problem[];
}

/** A document of llm-d's that cannot be run, with what would become of each of its plugins. */
export class ImportError extends ConfigurationError {
  readonly importation: Importation;

  constructor(problems: readonly Problem[], importation: Importation) {
    super(problems);
    this.name = 'ImportError';
    this.importation = importation;
  }
}

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  readonly profile: LoadedProfile;
  /** Set when the document is an `EndpointPickerConfig` of llm-d. */
  readonly importation?: Importation;
  /** Absolute; undefined if there is no file. */
  readonly file: string | undefined;
  /** Of the file when it was read; see `fileVersion`. */
  readonly version: string | undefined;
  /** Relative paths in the configuration start here. */
  readonly folder: string;
}

/**
 * File, flags and defaults as one frozen object, its plugins loaded. The file is a configuration of ours, or
 * llm-d's `EndpointPickerConfig`. Throws a `ConfigurationError`.
 */
export async function loadConfiguration(options: LoadOptions = {}): Promise<LoadedConfiguration> {
  const { overrides = [], workingFolder = process.cwd() } = options;
  const file = options.file === undefined ? undefined : resolve(workingFolder, options.file);
  const folder = file === undefined ? workingFolder : dirname(file);
  const source = options.text?.flag ?? options.file ?? 'command line';
  const version = fileVersion(file);
  const yaml = options.text?.yaml ?? (file === undefined ? '' : await readSource(file, source));
  const document = parseYaml(yaml, source);
  if (document.problems.length > 0) throw new ConfigurationError(document.problems);

  const imported = isEndpointPickerConfig(document.value)
    ? importEndpointPickerConfig(document.value, options.featureGates)
    : undefined;
  const importation = imported && {
    rows: imported.rows,
    warnings: place(imported.warnings, document, source, []),
  };
  if (imported !== undefined && importation !== undefined && imported.errors.length > 0)
    throw new ImportError(place(imported.errors, document, source, []), importation);

  const value = overrides.reduce<unknown>(
    (whole, { path, value }) => withValue(whole, path, value),
    imported?.value ?? document.value ?? {},
  );
  const parsed = configurationSchema.safeParse(value, { reportInput: true });
  const problems = schemaProblems(parsed.error?.issues ?? []);
  const section = (value as { profile?: unknown } | undefined)?.profile;
  const loaded = await loadProfile(section, folder);
  const configuration = parsed.success ? withFlowControl(parsed.data, hasLateBinding(section)) : undefined;
  problems.push(...loaded.problems, ...(configuration === undefined ? [] : crossChecks(configuration)));
  if (problems.length > 0 || configuration === undefined || loaded.profile === undefined)
    throw new ConfigurationError(place(problems, document, source, overrides, imported?.origins));
  return {
    configuration: deepFreeze(configuration),
    profile: loaded.profile,
    file,
    version,
    folder,
    ...(importation === undefined ? {} : { importation }),
  };
}

function withFlowControl(
  parsed: z.output<typeof configurationSchema>,
  isEnabledByProfile: boolean,
): Configuration {
  const { flowControl } = parsed;
  return { ...parsed, flowControl: { ...flowControl, enabled: flowControl.enabled ?? isEnabledByProfile } };
}

async function readSource(file: string, source: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const known: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such file',
      EISDIR: 'expected a YAML file, found a folder',
    };
    const message = known[code ?? ''] ?? `cannot be read: ${(error as Error).message}`;
    throw new ConfigurationError([{ source, position: undefined, path: '', message }]);
  }
}

/** Gives each problem its line and column, or the flag that it came from; in the order of the file. */
function place(
  problems: readonly SchemaProblem[],
  document: YamlDocument,
  source: string,
  overrides: readonly Override[],
  origins: Imported['origins'] = [],
): Problem[] {
  const placed = problems.map(({ path: own, unknownKey, message }): Problem => {
    const override = overrides.find((candidate) => isWithin(own, candidate.path));
    if (override !== undefined) return { source: override.flag, position: undefined, path: '', message };
    const path = origins.find(({ ours }) => isWithin(own, ours))?.theirs ?? own;
    if (document.isEmpty) return { source, position: undefined, path: formatPath(path), message };
    const position =
      unknownKey === undefined ? document.positionOf(path) : document.positionOfKey(path, unknownKey);
    return { source, position, path: formatPath(path), message };
  });
  const order = ({ position }: Problem) =>
    position === undefined ? -1 : position.line * 10_000 + position.column;
  return placed.sort((a, b) => order(a) - order(b));
}

function isWithin(path: Path, parent: Path): boolean {
  return parent.every((key, at) => path[at] === key);
}

/** A copy of `whole` in which the value at `path` is `value`. */
function withValue(whole: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const isMap = typeof whole === 'object' && whole !== null && !Array.isArray(whole);
  // A parent of the wrong type stays, for the schema to complain about.
  if (whole !== undefined && !isMap) return whole;
  const parent = (whole ?? {}) as Readonly<Record<string, unknown>>;
  return { ...parent, [key]: withValue(parent[key], rest, value) };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
