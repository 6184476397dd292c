import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { loadConfiguration } from '../configuration/index.ts';
import {
  claimLines,
  type EngineModel,
  enginePresets,
  findPolicy,
  findWorkload,
  jsonLines,
  markdownReport,
  type Policy,
  policies,
  readTrace,
  runExperiment,
  svgPlot,
  traceWorkload,
  type Workload,
  workloads,
} from '../simulation/index.ts';
import { CommandError, exitCodes } from './exit-codes.ts';
import { collect, countingNumber, positiveNumber } from './flag-values.ts';
import { flowOf } from './flow-settings.ts';
import { prepareV8 } from './v8-settings.ts';
import { checkWritable } from './writable-file.ts';

interface SimulateFlags {
  readonly workload?: string;
  readonly trace?: string;
  readonly load: number;
  readonly rps?: number;
  readonly pods?: number;
  readonly preset?: string;
  readonly seeds: number;
  readonly firstSeed: number;
  readonly share: number;
  readonly scrapeMs: number;
  readonly routers: number;
  readonly policy: readonly string[];
  readonly config: readonly string[];
  readonly json?: string;
  readonly svg?: string;
}

const defaultPolicies = ['llm-d-3-2-2', 'default'];

export function simulateCommand(): Command {
  return new Command('simulate')
    .summary('try policies or configurations on a simulated fleet')
    .description(
      'Replays a workload on a simulated fleet of engines, routed by the code that would route it for real, ' +
        'and prints one table per scenario. Nothing is started and nothing is sent.',
    )
    .option('--workload <name>', 'what is sent (default: trace-conversation)')
    .option('--trace <file>', 'a trace of your own instead: JSON Lines like Mooncake, or CSV like Azure')
    .option('--load <share>', 'load, 1 = the capacity of the reference policy', positiveNumber, 1)
    .option('--rps <number>', 'requests/s instead of --load', positiveNumber)
    .option('--pods <count>', "engines (default: the workload's)", countingNumber)
    .option('--preset <name>', "model and GPU of the engines (default: the workload's)")
    .option('--seeds <count>', 'runs per policy, with other arrivals each', countingNumber, 3)
    .option('--first-seed <number>', 'the seeds count from here', countingNumber, 11)
    .addOption(
      new Option('--policy <name>', 'a policy to compare; may be repeated')
        .argParser(collect)
        .default([], `${defaultPolicies.join(' and ')}, unless there is a --config`),
    )
    .addOption(
      new Option(
        '--config <file>',
        'a configuration whose profile and flow control to compare; may be repeated',
      )
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--share <share>', "run only this leading share of the workload's requests", positiveNumber, 1)
    .option('--scrape-ms <ms>', "how often the engines' metrics are read", positiveNumber, 50)
    .option('--routers <count>', 'replicas of the router that share nothing', countingNumber, 1)
    .option('--json <file>', 'write the results as JSON Lines')
    .option('--svg <file>', 'draw the TTFT distribution and the load over time')
    .addHelpText('after', helpText())
    .action(run);
}

async function run(flags: SimulateFlags): Promise<void> {
  if (flags.workload !== undefined && flags.trace !== undefined)
    throw new CommandError('give --workload or --trace, not both', exitCodes.usage);
  const workload = chosenWorkload(flags);
  const compared = await chosenPolicies(flags);
  checkWritable('--json', flags.json);
  checkWritable('--svg', flags.svg);
  prepareV8();
  const result = runExperiment({
    scenario: {
      workload,
      load: flags.load,
      requestsPerSecond: flags.rps,
      pods: flags.pods ?? workload.pods,
      model: chosenModel(flags.preset ?? workload.preset),
      scrapeMs: flags.scrapeMs,
      routers: flags.routers,
      share: Math.min(1, flags.share),
    },
    policies: compared,
    seeds: Array.from({ length: flags.seeds }, (_, i) => flags.firstSeed + i),
    clock: () => performance.now(),
    progress: (done, total, policy) => {
      const line = `${done}/${total} runs  ${policy}`;
      process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  process.stdout.write(`${markdownReport(result)}\n`);
  for (const line of claimLines(result)) process.stderr.write(`${line}\n`);
  process.stderr.write(
    `${result.simulatedRequests} requests simulated in ${(result.wallMs / 1000).toFixed(1)} s\n`,
  );
  if (flags.json !== undefined) writeFileSync(flags.json, jsonLines(result));
  if (flags.svg !== undefined) writeFileSync(flags.svg, svgPlot(result));
}

function chosenWorkload({ workload, trace }: SimulateFlags): Workload {
  if (trace === undefined) return asUsage(() => findWorkload(workload ?? 'trace-conversation'));
  return traceWorkload({
    name: basename(trace).replace(/\.(jsonl|csv)(\.gz)?$/, ''),
    description: trace,
    pods: 16,
    trace: entriesOf(trace),
  });
}

function entriesOf(trace: string): ReturnType<typeof readTrace> {
  try {
    return readTrace(trace);
  } catch (error) {
    throw new CommandError(`--trace: ${trace} cannot be used: ${(error as Error).message}`, exitCodes.usage);
  }
}

async function chosenPolicies(flags: SimulateFlags): Promise<readonly Policy[]> {
  const named = flags.policy.map((name) => asUsage(() => findPolicy(name)));
  const configured = await Promise.all(
    flags.config.map((file) => configuredPolicy(file, flags.seeds * flags.routers)),
  );
  const chosen = [...named, ...configured];
  return chosen.length > 0 ? chosen : defaultPolicies.map(findPolicy);
}

/** Plugins may keep state, so each router of each run gets instances of its own. */
async function configuredPolicy(file: string, instances: number): Promise<Policy> {
  const loaded = await Promise.all(Array.from({ length: instances }, () => loadConfiguration({ file })));
  const name = basename(file).replace(/\.ya?ml$/, '');
  let next = 0;
  return {
    name,
    description: file,
    create: () => {
      const { configuration, profile } = loaded[next++]!;
      const flowControl = configuration.flowControl.enabled ? flowOf(configuration) : undefined;
      return { residency: 'approximate', profile: { ...profile, name }, flowControl };
    },
  };
}

function chosenModel(name: string): EngineModel {
  const model = Object.values(enginePresets).find((preset) => preset.name === name);
  if (model !== undefined) return model;
  throw new CommandError(
    `preset "${name}" is unknown; known: ${Object.keys(enginePresets).join(', ')}`,
    exitCodes.usage,
  );
}

function asUsage<T>(find: () => T): T {
  try {
    return find();
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error), exitCodes.usage);
  }
}

function helpText(): string {
  const list = (items: readonly { readonly name: string; readonly description: string }[]) =>
    items.map(({ name, description }) => `  ${name.padEnd(22)} ${description}`).join('\n');
  return `
Workloads:
${list(workloads)}

Policies:
${list(policies)}

Presets: ${Object.keys(enginePresets).join(', ')}

The table goes to standard output; TTFT and TPOT are milliseconds, ± is the 95 % interval over seeds. SLO% counts
requests with TTFT within 1 s + 3 x their prefill alone and TPOT within 100 ms, unless they name their own.

Examples:
  pointsman simulate --workload trace-conversation --load 0.9 --policy llm-d-3-2-2 --policy default
  pointsman simulate --trace ours.jsonl --rps 20 --config today.yaml --config tomorrow.yaml --svg compare.svg`;
}
