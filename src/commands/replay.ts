import { Command } from 'commander';
import { loadConfiguration } from '../configuration/index.ts';
import {
  differenceJson,
  differenceText,
  RecordsError,
  type ReplayOptions,
  ReplayReport,
  readRecords,
  replayDecision,
} from '../replay/index.ts';
import { createProfile, type Profile } from '../scheduling/index.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { wholeNumber } from './flag-values.ts';

interface ReplayFlags {
  readonly config: string;
  readonly show: number;
  readonly warmUp: number;
  readonly json?: boolean;
}

export function replayCommand(): Command {
  return new Command('replay')
    .summary('make recorded decisions again with another configuration')
    .description(
      'Makes recorded decisions again with the profile of another configuration, and tells which picks would differ ' +
        'and why. Each pick is judged alone: the loads are those that the recorded picks have led to.',
    )
    .argument('<records>', 'decision records, JSON Lines: from --decision-log or GET /decisions')
    .requiredOption('-c, --config <file>', 'configuration whose profile decides')
    .option('--show <count>', 'differing picks to show in full', wholeNumber, 5)
    .option(
      '--warm-up <count>',
      'leading records that only fill what plugins remember, such as prices and sessions',
      wholeNumber,
      0,
    )
    .option('--json', 'every difference and the summary as JSON Lines')
    .addHelpText(
      'after',
      '\nExample:\n  curl http://127.0.0.1:9090/decisions > records.jsonl\n  pointsman replay records.jsonl --config tomorrow.yaml',
    )
    .action(replay);
}

async function replay(records: string, { config, show, warmUp, json = false }: ReplayFlags): Promise<void> {
  const { profile: loaded, configuration } = await loadConfiguration({ file: config });
  const profile = createProfile({ name: 'replay', ...loaded });
  const report = await replayAll(
    records,
    { profile, hasLateBinding: configuration.flowControl.enabled },
    warmUp,
    (text, shown) => {
      if (json || shown < show) process.stdout.write(`${text(json)}\n`);
    },
  );
  process.stdout.write(json ? `${JSON.stringify({ summary: report.summary() })}\n` : report.text());
}

async function replayAll(
  records: string,
  { profile, ...options }: ReplayOptions & { readonly profile: Profile },
  warmUp: number,
  onDifference: (text: (json: boolean) => string, shown: number) => void,
): Promise<ReplayReport> {
  const report = new ReplayReport();
  let read = 0;
  try {
    for await (const line of readRecords(records)) {
      if (line.kind === 'dropped') {
        report.dropped += line.count;
        continue;
      }
      const replayed = replayDecision(line.decision, profile, options);
      if (read++ < warmUp || !report.add(replayed)) continue;
      onDifference(
        (json) => (json ? JSON.stringify(differenceJson(replayed)) : differenceText(replayed)),
        report.different - 1,
      );
    }
  } catch (error) {
    if (error instanceof RecordsError) throw new CommandError(error.message, exitCodes.usage);
    throw error;
  }
  if (read === 0) throw new CommandError(`${records}: there are no decision records in it`, exitCodes.usage);
  return report;
}
