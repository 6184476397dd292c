import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { EngineOptions } from '../engine-options.ts';
import type { EngineFlag, FlagValue } from './engine-flag.ts';
import { engineFlags, flagsNotServed, flagsWithoutMeaning } from './engine-flags.ts';
import { parseFlag } from './parse-flag.ts';

/**
 * Options from what was given on the command line, keyed by flag name (`max-model-len`) or option name
 * (`maxModelLen`); values may still be text. Throws one message with everything that is wrong.
 */
export function engineOptionsFromFlags(
  model: string,
  values: Readonly<Record<string, FlagValue>>,
): EngineOptions {
  const problems: string[] = [];
  const options: Record<string, unknown> = { model };
  const given = (flag: EngineFlag, from: Readonly<Record<string, FlagValue>>) =>
    from[flag.name] ?? from[flag.option];
  const fromFile = readConfigFile(values['config'], problems);
  for (const [name, reason] of Object.entries(flagsNotServed))
    if ((values[name] ?? values[camelCase(name)] ?? fromFile[name]) !== undefined)
      problems.push(`--${name}: ${reason}`);
  for (const flag of engineFlags) {
    const value = given(flag, values) ?? given(flag, fromFile);
    if (value === undefined) continue;
    try {
      const parsed = parseFlag(flag, value);
      if (parsed !== undefined) options[flag.option] = parsed;
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return options as unknown as EngineOptions;
}

/** Flags of `--config`, by name with dashes; underscores are dashes, as in vLLM. */
function readConfigFile(path: FlagValue, problems: string[]): Readonly<Record<string, FlagValue>> {
  if (path === undefined) return {};
  try {
    const content: unknown = parse(readFileSync(String(path), 'utf8'));
    if (typeof content !== 'object' || content === null || Array.isArray(content))
      throw new Error('it must hold flags by name');
    const flags = Object.entries(content).map(
      ([name, value]) => [name.replaceAll('_', '-'), value as FlagValue] as const,
    );
    const known = new Set([
      ...engineFlags.map(({ name }) => name),
      ...flagsWithoutMeaning,
      ...Object.keys(flagsNotServed),
    ]);
    const unknown = flags.filter(([name]) => !known.has(name));
    if (unknown.length > 0)
      throw new Error(`it has unknown flags: ${unknown.map(([name]) => name).join(', ')}`);
    return Object.fromEntries(flags);
  } catch (error) {
    problems.push(`--config ${String(path)} cannot be used: ${(error as Error).message}`);
    return {};
  }
}

/** As the command line's parser names options. */
function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
