import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { packageFolder } from '../../src/commands/package-folder.ts';

/** A real Envoy on this machine. */
export interface InstalledEnvoy {
  readonly binary: string;
  /** `1.39.0`. */
  readonly version: string;
}

export const envoyMissing =
  'no Envoy found in $ENVOY_BIN, build/ or PATH; test/support/install-envoy.sh installs two versions';

/** $ENVOY_BIN alone if it is set; else what `install-envoy.sh` put into build/, and PATH; newest first. */
export function installedEnvoys(): readonly InstalledEnvoy[] {
  const { ENVOY_BIN: chosen = '', PATH: path = '' } = process.env;
  const candidates = chosen === '' ? [...builtIn(), ...inPath(path)] : [chosen];
  const found = new Map<string, InstalledEnvoy>();
  for (const binary of candidates) {
    const version = versionOf(binary);
    if (version !== undefined && !found.has(version)) found.set(version, { binary, version });
  }
  return [...found.values()].sort((a, b) => minorOf(b) - minorOf(a));
}

/** 39 for `1.39.0`. */
export function minorOf({ version }: InstalledEnvoy): number {
  return Number(version.split('.')[1]);
}

function builtIn(): string[] {
  const build = join(packageFolder(), 'build');
  if (!existsSync(build)) return [];
  const folders = readdirSync(build, { withFileTypes: true }).filter(({ name }) => /^envoy(-|$)/.test(name));
  return folders.map(({ name }) => join(build, name, 'envoy', '_bin', 'envoy'));
}

function inPath(path: string): string[] {
  return path.split(delimiter).map((folder) => join(folder, 'envoy'));
}

/** Undefined when there is none, or when it was built for another machine. */
function versionOf(binary: string): string | undefined {
  try {
    const told = execFileSync(binary, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return /\/(\d+\.\d+\.\d+)\//.exec(told)?.[1];
  } catch {
    return undefined;
  }
}
