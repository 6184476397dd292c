/**
 * The whole system on this machine: engines with the bundled model, the real gateway, a workload of shared
 * prefixes sent at fixed times. The same arrivals for each profile, profiles in turn, round by round. Two tables per
 * load: of a cold start, and of what follows.
 *
 *   npm run bench:live                          the default against llm-d's and round-robin, at 80 % and 130 % of the
 *                                               capacity measured first
 *   npm run bench:live -- --load 0.8 --capacity 12 --profile default --profile round-robin
 *
 * Capacity is what a closed loop gets through with the shadow price. A request attains its targets if its first
 * token comes within 1 s + 3 x a cold prefill alone, and each further one within 100 ms.
 */
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadLines } from '../load/affinity.ts';
import { refuseFlag } from '../read-flags.ts';
import { type Cell, runCell, type Targets, type Workload } from './cell.ts';
import { type RunningProcess, startEngine } from './processes.ts';
import { comparedProfiles, type LiveProfile, profiles } from './profiles.ts';
import { liveTable } from './table.ts';

const usage = `Profiles compared on real engines.

  --load SHARE          of the capacity; may be repeated (0.8 and 1.3)
  --capacity N          requests per second, instead of measuring it
  --profile NAME        any strategy of the configuration; may be repeated
                        (${comparedProfiles.map(({ name }) => name).join(', ')})
  --warm-up SECONDS     of each run, told apart: caches are cold, nothing is learned (5)
  --duration SECONDS    of each run, after it (6)
  --rounds N            runs of each profile at each load, with other arrivals each (4)
  --engines N           each with one thread (4)
  --kv-blocks N         KV blocks of 16 tokens that each engine has (900)
  --tenants N           different shared prefixes (16)
  --prefix-tokens N     words of each shared prefix (2000)
  --prompt-tokens N     words of each request's own part (100)
  --output-tokens N     16
  --seed N              1
  --loads               also prints what was in flight at each engine
`;

const model = fileURLToPath(new URL('../../../config/models/pointsman-mini', import.meta.url));
const tpotTargetMs = 100;
/** Of the processors, what other processes may take before a measurement is one of them. */
const quietShare = 0.1;
const drainMs = 6000;
const capacityRun = { warmUpMs: 6000, durationMs: 9000 };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      load: { type: 'string', multiple: true, default: ['0.8', '1.3'] },
      capacity: { type: 'string' },
      profile: { type: 'string', multiple: true },
      'warm-up': { type: 'string', default: '5' },
      duration: { type: 'string', default: '6' },
      rounds: { type: 'string', default: '4' },
      engines: { type: 'string', default: '4' },
      'kv-blocks': { type: 'string', default: '900' },
      tenants: { type: 'string', default: '16' },
      'prefix-tokens': { type: 'string', default: '2000' },
      'prompt-tokens': { type: 'string', default: '100' },
      'output-tokens': { type: 'string', default: '16' },
      seed: { type: 'string', default: '1' },
      loads: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const workload: Workload = {
    tenants: positive('--tenants', values.tenants),
    sharedPrefixTokens: positive('--prefix-tokens', values['prefix-tokens']),
    promptTokens: positive('--prompt-tokens', values['prompt-tokens']),
    outputTokens: positive('--output-tokens', values['output-tokens']),
  };
  const plan = {
    compared: values.profile?.map(findProfile) ?? comparedProfiles,
    workload,
    warmUpMs: 1000 * positive('--warm-up', values['warm-up']),
    durationMs: 1000 * positive('--duration', values.duration),
    rounds: positive('--rounds', values.rounds),
    firstSeed: positive('--seed', values.seed),
    showsLoads: values.loads,
  };
  const loads = values.load.map((each) => positive('--load', each));
  const known = values.capacity === undefined ? undefined : positive('--capacity', values.capacity);
  const count = positive('--engines', values.engines);
  const args = ['--num-gpu-blocks-override', values['kv-blocks']];
  const engines = await Promise.all(Array.from({ length: count }, () => startEngine(model, args)));
  try {
    const targets = await targetsFor(engines, workload);
    const capacity = known ?? (await measureCapacity(engines, workload));
    const { length: cores, 0: core } = cpus();
    print(`node ${process.version}, ${cores} x ${core?.model ?? 'unknown processor'}`);
    print(`${count} engines; capacity ${capacity.toFixed(1)} requests/s`);
    print(`targets: TTFT ${targets.ttftMs.toFixed(0)} ms, TPOT ${targets.tpotMs} ms\n`);
    for (const load of loads) await compare({ ...plan, engines, targets, load, capacity });
  } finally {
    await Promise.all(engines.map((engine) => engine.stop()));
  }
}

interface ComparedLoad {
  readonly compared: readonly LiveProfile[];
  readonly engines: readonly RunningProcess[];
  readonly workload: Workload;
  readonly targets: Targets;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly rounds: number;
  readonly firstSeed: number;
  readonly showsLoads: boolean;
  readonly load: number;
  readonly capacity: number;
}

/** All profiles in turn, round by round, each round beginning with another one. Prints the table. */
async function compare(options: ComparedLoad): Promise<void> {
  const { compared, engines, workload, targets, warmUpMs, durationMs, rounds, firstSeed } = options;
  const { load, capacity } = options;
  const names = compared.map(({ name }) => name);
  const ratePerSecond = load * capacity;
  const cells: Cell[] = [];
  const printTable = () => {
    const whole = Math.floor(cells.length / compared.length);
    print(`load=${load} rate=${ratePerSecond.toFixed(1)}/s rounds=${whole} seconds=${durationMs / 1000}`);
    const shown = cells.slice(0, whole * compared.length);
    print(liveTable(names, shown, targets));
    print(`from a cold start: the ${warmUpMs / 1000} s before`);
    print(
      liveTable(
        names,
        shown.map(({ cold }) => cold),
        targets,
      ),
    );
  };
  // What has been measured is worth more than nothing.
  const onStop = () => {
    printTable();
    process.exit(1);
  };
  process.once('SIGTERM', onStop);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < compared.length; turn++) {
      const profile = compared[(turn + round) % compared.length]!;
      const seed = firstSeed + round;
      const salt = `${profile.name} ${load} ${round}`;
      progress(`load ${load}, round ${round + 1}: ${profile.name}`);
      const times = { warmUpMs, durationMs, drainMs, ratePerSecond };
      cells.push(await runCell({ ...times, profile, engines, workload, seed, salt, targets }));
    }
  }
  process.off('SIGTERM', onStop);
  printTable();
  const disturbed = cells.filter(({ othersShare = 0 }) => othersShare > quietShare).length;
  if (disturbed > 0) {
    const percent = 100 * quietShare;
    print(
      `disturbed: in ${disturbed} of ${cells.length} runs other processes took over ${percent} % of the processors`,
    );
  }
  if (options.showsLoads)
    for (const { profile, samples } of cells) print(`${profile}\n${loadLines(samples)}`);
}

/** From requests that are alone and find nothing cached. */
async function targetsFor(engines: readonly RunningProcess[], workload: Workload): Promise<Targets> {
  progress('a cold prefill alone');
  const { results } = await runCell({
    profile: findProfile('round-robin'),
    engines: engines.slice(0, 1),
    workload: {
      tenants: 1,
      sharedPrefixTokens: 1,
      promptTokens: workload.sharedPrefixTokens + workload.promptTokens,
      outputTokens: workload.outputTokens,
    },
    warmUpMs: 500,
    durationMs: 2000,
    drainMs,
    seed: 1,
    salt: 'cold',
    clients: 1,
  });
  const ttft = results.map(({ ttftMs }) => ttftMs ?? Number.NaN).sort((a, b) => a - b);
  return { ttftMs: 1000 + 3 * ttft[Math.floor(ttft.length / 2)]!, tpotMs: tpotTargetMs };
}

async function measureCapacity(engines: readonly RunningProcess[], workload: Workload): Promise<number> {
  progress('capacity');
  const { results } = await runCell({
    profile: findProfile('shadow-price'),
    engines,
    workload,
    ...capacityRun,
    drainMs,
    seed: 1,
    salt: 'capacity',
    clients: 4 * engines.length,
  });
  const errors = results.filter(({ error }) => error !== undefined);
  if (errors.length > 0) throw new Error(`${errors.length} requests failed: ${errors[0]!.error}`);
  const startMs = Math.min(...results.map(({ intendedMs }) => intendedMs));
  const counted = results.filter(
    ({ intendedMs, durationMs }) => intendedMs + durationMs < startMs + capacityRun.durationMs,
  );
  return (1000 * counted.length) / capacityRun.durationMs;
}

function findProfile(name: string): LiveProfile {
  const profile = profiles.find((each) => each.name === name);
  if (profile !== undefined) return profile;
  refuseFlag(`--profile ${name}: expected one of ${profiles.map((each) => each.name).join(', ')}`);
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`${flag} ${text}: expected a number above 0`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench:live: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
