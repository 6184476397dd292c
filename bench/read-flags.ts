import { type ParseArgsConfig, parseArgs } from 'node:util';

export interface BenchFlag {
  readonly type: 'string' | 'boolean';
  readonly default?: string | boolean | [];
  readonly multiple?: boolean;
  /** What it sets; the default is added. */
  readonly help: string;
}

interface Usage {
  /** As typed, such as `npm run bench:paging`. */
  readonly command: string;
  /** What it measures, one sentence. */
  readonly what: string;
  /** Names of arguments without a flag, such as `[LOAD]`; absent: there are none. */
  readonly positionals?: string;
}

type FlagValue<Flag extends BenchFlag> = Flag extends { readonly multiple: true }
  ? string[]
  : Flag extends { readonly type: 'boolean' }
    ? boolean
    : Flag extends { readonly default: string }
      ? string
      : string | undefined;

export interface BenchArguments<Flags extends Readonly<Record<string, BenchFlag>>> {
  readonly values: { readonly [Name in keyof Flags]: FlagValue<Flags[Name]> };
  readonly positionals: readonly string[];
}

/**
 * The flags of a bench from its command line. `--help` prints them and ends the process; a flag that does not exist
 * ends it with code 2 and says so.
 */
export function readFlags<const Flags extends Readonly<Record<string, BenchFlag>>>(
  usage: Usage,
  flags: Flags,
  args: readonly string[] = process.argv.slice(2),
): BenchArguments<Flags> {
  if (args.includes('--help')) {
    console.log(usageText(usage, flags));
    process.exit(0);
  }
  try {
    const allowPositionals = usage.positionals !== undefined;
    const options: ParseArgsConfig['options'] = flags;
    return parseArgs({ args: [...args], options, allowPositionals }) as unknown as BenchArguments<Flags>;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usageText(usage, flags)}`);
    process.exit(2);
  }
}

/** Ends a bench whose flag has a value that it cannot have: one line, and code 2. */
export function refuseFlag(message: string): never {
  console.error(message);
  process.exit(2);
}

export function usageText(
  { command, what, positionals }: Usage,
  flags: Readonly<Record<string, BenchFlag>>,
): string {
  const isScript = command.startsWith('npm run ');
  const head = `usage: ${command}${isScript ? ' --' : ''} [FLAGS]${positionals === undefined ? '' : ` ${positionals}`}`;
  const rows = Object.entries(flags).map(([name, { type, default: usual, help }]) => {
    const hint = usual === undefined || usual === false || String(usual) === '' ? '' : ` (${usual})`;
    return [`--${name}${type === 'string' ? ' VALUE' : ''}`, `${help}${hint}`] as const;
  });
  const width = Math.max(0, ...rows.map(([flag]) => flag.length));
  const table = rows.map(([flag, help]) => `  ${flag.padEnd(width)}  ${help}`);
  return [head, '', what, ...(table.length > 0 ? ['', ...table] : [])].join('\n');
}
