import { Command } from 'commander';
import {
  ConfigurationError,
  configurationJsonSchema,
  formatMapping,
  formatProblem,
  type Importation,
  ImportError,
  type LoadedConfiguration,
  loadConfiguration,
} from '../configuration/index.ts';
import { CommandError, exitCodes } from './exit-codes.ts';

export function checkCommand(): Command {
  return new Command('check')
    .description(
      'Validates a configuration file, its plugins and their parameters. Reports every problem with its line and column.',
    )
    .argument('[file]', 'configuration file, YAML')
    .option('--print-schema', 'print the JSON Schema of the configuration file and do nothing else')
    .addHelpText('after', '\nExit codes: 0 valid, 2 not valid.')
    .action(async (file: string | undefined, options: { printSchema?: boolean }) => {
      if (options.printSchema === true)
        process.stdout.write(`${JSON.stringify(configurationJsonSchema(), null, 2)}\n`);
      else if (file === undefined)
        throw new CommandError('name the file to check: pointsman check FILE', exitCodes.usage);
      else process.exitCode = await check(file);
    });
}

async function check(file: string): Promise<number> {
  try {
    const loaded = await loadConfiguration({ file });
    process.stdout.write(summary(file, loaded));
    if (loaded.importation !== undefined) process.stdout.write(importSummary(loaded.importation));
    return exitCodes.ok;
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    const { problems } = error;
    if (error instanceof ImportError) process.stdout.write(`${importSummary(error.importation)}\n`);
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    process.stdout.write(`${problems.map(formatProblem).join('\n')}\n${count} in ${file}\n`);
    return exitCodes.usage;
  }
}

/** What the file means, in short: a person sees that the defaults are the ones they expected. */
function summary(file: string, { configuration, profile }: LoadedConfiguration): string {
  const { gateway, extProc, health, metrics, pool, flowControl } = configuration;
  const rows: [string, string][] = [
    ['gateway', `${gateway.host}:${gateway.port}`],
    ['ext-proc', extProc.enabled ? `${extProc.host}:${extProc.port} (tls ${extProc.tls.mode})` : 'off'],
    ['health', `${health.host}:${health.port}`],
    ['metrics', `${metrics.host}:${metrics.port}`],
    ['pool', poolSummary(pool)],
    ...profile.filters.map((filter): [string, string] => ['filter', pluginSummary(filter)]),
    ...profile.scorers.map((scorer): [string, string] => [
      'scorer',
      `${scorer.weight} x ${pluginSummary(scorer)}`,
    ]),
    ['picker', pluginSummary(profile.picker)],
    [
      'waiting',
      flowControl.enabled ? 'requests wait for the engine that is best for them' : 'no request waits',
    ],
  ];
  return `${file} is valid\n${rows.map(([name, text]) => `  ${name.padEnd(9)} ${text}\n`).join('')}`;
}

/** What became of each of llm-d's plugins, and what has no effect. */
function importSummary({ rows, warnings }: Importation): string {
  const table = rows.length === 0 ? '' : `\nwhat becomes of llm-d's plugins\n${formatMapping(rows)}`;
  const lines = warnings.map((warning) => `warning: ${formatProblem(warning)}\n`).join('');
  return lines === '' ? table : `${table}\n${lines}`;
}

function poolSummary({ endpoints, file }: LoadedConfiguration['configuration']['pool']): string {
  const listed = endpoints.length === 1 ? '1 endpoint' : `${endpoints.length} endpoints`;
  return file === undefined ? listed : `${listed}, and those of ${file}`;
}

function pluginSummary({
  name,
  parameters,
  description,
}: Omit<LoadedConfiguration['profile']['picker'], 'picker'>): string {
  const pairs = Object.entries(parameters).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  const given = pairs.length > 0 ? ` {${pairs.join(', ')}}` : '';
  return `${name}${given}  ${description}`.trimEnd();
}
