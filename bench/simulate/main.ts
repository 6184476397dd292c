/**
 * The simulated suite: every scenario of the method, every policy, one table each.
 *
 *   node dist/bench/simulate/main.js --seeds 10 --json results.jsonl
 *   node dist/bench/simulate/main.js --only trace-conversation --policy llm-d-3-2-2 --policy default
 *   node dist/bench/simulate/main.js --goals --seeds 10          what must be reached, and whether it is
 *   node dist/bench/simulate/main.js --goals --only tenants-0.7  a piece of it
 *   node dist/bench/simulate/main.js --goals --tables goals.md   the tables behind it, added to a file
 *   node dist/bench/simulate/main.js --speed
 *   node dist/bench/simulate/main.js --scale                     what a decision costs at 16, 100 and 1,000 engines
 *
 * Seeds 1 to 9 are for tuning; what is reported starts at 11.
 */
import { appendFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { prepareV8 } from '../../src/commands/v8-settings.ts';
import {
  claimLines,
  type ExperimentResult,
  enginePresets,
  findPolicy,
  findWorkload,
  jsonLines,
  markdownReport,
  runExperiment,
} from '../../src/simulation/index.ts';
import { readFlags } from '../read-flags.ts';
import { pieceNames, runPiece, tableHead } from './goals.ts';
import { scaleTable } from './scale.ts';
import { speedTable } from './speed.ts';
import { policiesOf, type SuiteEntry, suite } from './suite.ts';

interface SuiteFlags {
  readonly seeds: number;
  readonly firstSeed: number;
  readonly share: number;
  readonly policies: readonly string[];
  readonly json: string | undefined;
  readonly tables: string | undefined;
}

function main(): void {
  const { values } = readFlags(
    {
      command: 'npm run bench:simulate',
      what: 'Policies on simulated fleets, one table per scenario; with --goals what must be reached, and whether it is.',
    },
    {
      seeds: { type: 'string', default: '10', help: 'Runs of each cell.' },
      'first-seed': { type: 'string', default: '11', help: 'The first seed; 1 to 9 are for tuning.' },
      share: { type: 'string', default: '1', help: 'Part of each workload that is played.' },
      only: {
        type: 'string',
        multiple: true,
        default: [],
        help: 'A scenario, or a piece of the goals; repeatable.',
      },
      policy: { type: 'string', multiple: true, default: [], help: 'A policy; repeatable.' },
      json: { type: 'string', help: 'File for results as JSON Lines.' },
      tables: { type: 'string', help: 'With --goals: file to which the tables behind it are added.' },
      speed: { type: 'boolean', default: false, help: 'How many requests a second are simulated.' },
      scale: { type: 'boolean', default: false, help: 'What a decision costs as the fleet grows.' },
      goals: { type: 'boolean', default: false, help: 'Check the goals.' },
    },
  );
  prepareV8();
  if (values.speed) {
    process.stdout.write(speedTable());
    return;
  }
  if (values.scale) {
    process.stdout.write(scaleTable(Number(values.share)));
    return;
  }
  const flags: SuiteFlags = {
    seeds: Number(values.seeds),
    firstSeed: Number(values['first-seed']),
    share: Number(values.share),
    policies: values.policy,
    json: values.json,
    tables: values.tables,
  };
  if (values.goals) {
    runGoals(values.only.length > 0 ? values.only : pieceNames, flags);
    return;
  }
  const chosen = suite.filter(({ workload }) => values.only.length === 0 || values.only.includes(workload));
  for (const entry of chosen) for (const load of entry.loads) runEntry(entry, load, flags);
}

function runEntry(entry: SuiteEntry, load: number, flags: SuiteFlags): void {
  const workload = findWorkload(entry.workload);
  const names = flags.policies.length > 0 ? flags.policies : policiesOf(entry);
  const result = runExperiment({
    scenario: {
      workload,
      load,
      requestsPerSecond: undefined,
      pods: workload.pods,
      model: enginePresets[workload.preset],
      scrapeMs: 50,
      routers: 1,
      share: flags.share,
    },
    policies: names.map(findPolicy),
    seeds: Array.from({ length: flags.seeds }, (_, i) => flags.firstSeed + i),
    clock: () => performance.now(),
    progress: (done, total, policy) => {
      if (process.stderr.isTTY)
        process.stderr.write(`\r\u001b[K${entry.workload} ${done}/${total} ${policy}`);
    },
  });
  process.stdout.write(`${markdownReport(result)}\n`);
  process.stdout.write(`${claimLines(result).join('\n')}\n\n`);
  if (flags.json !== undefined) appendFileSync(flags.json, jsonLines(result));
}

function runGoals(names: readonly string[], { seeds, firstSeed, tables }: SuiteFlags): void {
  const options = {
    seeds: Array.from({ length: seeds }, (_, i) => firstSeed + i),
    progress: (line: string) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`);
    },
    done: (result: ExperimentResult) => {
      if (tables !== undefined) appendFileSync(tables, `${markdownReport(result)}\n`);
    },
  };
  process.stdout.write(`${tableHead.join('\n')}\n`);
  for (const name of names) process.stdout.write(`${runPiece(name, options).join('\n')}\n`);
}

main();
