import type { LoadOptions, Override } from '../../configuration/index.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type Effect, type LlmDFlag, llmDFlags, type OptionName } from './flags.ts';

/** What llm-d's flags on a command line ask for. */
export interface LlmDOptions {
  /** Some flag that only llm-d has was given: it is started as llm-d's picker would be. */
  readonly isLlmD: boolean;
  readonly overrides: readonly Override[];
  readonly options: Readonly<Partial<Record<OptionName, string | number | boolean>>>;
  /** Beyond those of the document; the later ones win. */
  readonly featureGates: readonly string[];
  /** One line for each flag that has no effect. */
  readonly warnings: readonly string[];
}

/** These are ours as well, and mean the same. */
const sharedFlags: ReadonlySet<string> = new Set(['metrics-port']);

/**
 * Takes llm-d's flags out of a command line: with one dash or two, kebab-case or camelCase, `--flag value` or
 * `--flag=value`; a boolean takes a value only behind `=`, and a `true` or `false` after it is told and passed over.
 * Empty arguments, which templates leave, are passed over.
 */
export function readLlmDFlags(args: readonly string[]): {
  readonly rest: readonly string[];
  readonly llmD: LlmDOptions;
} {
  const rest: string[] = [];
  const overrides: Override[] = [];
  const options: Partial<Record<OptionName, string | number | boolean>> = {};
  const featureGates: string[] = [];
  const warnings: string[] = [];
  let isLlmD = false;
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    if (arg === '') continue;
    const found = flagOf(arg);
    if (found === undefined) {
      rest.push(arg);
      continue;
    }
    const { name, flag, inline } = found;
    const written = `--${name}`;
    const text = inline ?? (flag.isBoolean ? 'true' : args[++at]);
    if (text === undefined) throw new CommandError(`${written} needs a value`, exitCodes.usage);
    isLlmD ||= !sharedFlags.has(name);
    for (const effect of flag.effects(text, written))
      apply(effect, written, { overrides, options, featureGates, warnings });
    // Charts render `flag: false` as two arguments; Go passes over the second.
    const behind = args[at + 1];
    if (flag.isBoolean && inline === undefined && (behind === 'true' || behind === 'false')) {
      at++;
      if (behind === 'false')
        warnings.push(`${written} false means ${written}=true, as in llm-d; write ${written}=false`);
    }
  }
  checkPair(options, overrides);
  return { rest, llmD: { isLlmD, overrides, options, featureGates, warnings } };
}

/** The flags, each with what it does, for `--help-compat`. */
export function llmDFlagsHelp(): string {
  const names = Object.keys(llmDFlags).map((name) => (name === 'v' ? '-v' : `--${name}`));
  const width = Math.max(...names.map((name) => name.length));
  const lines = Object.values(llmDFlags).map(({ help }, at) => `  ${names[at]!.padEnd(width)}  ${help}\n`);
  return `Flags of llm-d's picker that \`pointsman epp\` accepts, --flag value or --flag=value:\n\n${lines.join('')}`;
}

/** For `loadConfiguration`; flags of our own beat those of llm-d. */
export function mergeLoadOptions(own: LoadOptions, llmD: LlmDOptions): LoadOptions {
  const { isLlmD, overrides, options, featureGates } = llmD;
  const { configFile, configText } = options;
  if (own.file !== undefined && (configFile ?? configText) !== undefined)
    throw new CommandError('give either --config or --config-file or --config-text', exitCodes.usage);
  const file = configFile === undefined ? own.file : String(configFile);
  const hosts: Override[] = ['extProc', 'health', 'metrics'].map((section) => ({
    path: [section, 'host'],
    value: '0.0.0.0',
    flag: "llm-d's flags",
  }));
  // Its charts allow for this, and their probes need it.
  const drainDelay = { path: ['shutdown', 'drainDelayMs'], value: 30_000, flag: "llm-d's flags" };
  return {
    ...own,
    ...(file === undefined ? {} : { file }),
    ...(configText === undefined ? {} : { text: { yaml: String(configText), flag: '--config-text' } }),
    featureGates,
    overrides: [...(isLlmD ? [...hosts, drainDelay] : []), ...overrides, ...(own.overrides ?? [])],
  };
}

function flagOf(
  arg: string,
): { readonly name: string; readonly flag: LlmDFlag; readonly inline: string | undefined } | undefined {
  const [, written = '', , inline] = /^--?([A-Za-z][\w-]*)(=([\s\S]*))?$/.exec(arg) ?? [];
  const name = written.replace(/[A-Z]+/g, (capitals) => `-${capitals.toLowerCase()}`);
  const flag = Object.hasOwn(llmDFlags, name) ? llmDFlags[name] : undefined;
  return flag === undefined ? undefined : { name, flag, inline };
}

function apply(
  effect: Effect,
  flag: string,
  found: {
    readonly overrides: Override[];
    readonly options: Partial<Record<OptionName, string | number | boolean>>;
    readonly featureGates: string[];
    readonly warnings: string[];
  },
): void {
  switch (effect.kind) {
    case 'set':
      found.overrides.push({ path: effect.path, value: effect.value, flag });
      return;
    case 'option':
      found.options[effect.name] = effect.value;
      return;
    case 'gates':
      found.featureGates.push(...effect.gates);
      return;
    case 'no effect':
      found.warnings.push(`${flag} has no effect: ${effect.reason}`);
      return;
    case 'nothing':
      return;
  }
}

function checkPair(options: LlmDOptions['options'], overrides: Override[]): void {
  if (options.configFile !== undefined && options.configText !== undefined)
    throw new CommandError('give either --config-file or --config-text, not both', exitCodes.usage);
  // --secure-serving=false beats --cert-path wherever it stands.
  const off = overrides.find(({ flag, value }) => flag === '--secure-serving' && value === 'off');
  if (off !== undefined) overrides.push(off);
}
