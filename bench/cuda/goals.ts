import { gpuShapes } from './shapes.ts';

/** What is asked of the CUDA backend, beside what the reports of `bench/cuda/run` say. */
export interface Goal {
  readonly what: string;
  readonly asked: string;
  /** `not measured` where no report has it. */
  readonly found: string;
  /** Undefined where it is not measured, or nothing is asked. */
  readonly holds: boolean | undefined;
}

/** Tokens of all sequences together from which attention must be near the bandwidth. */
const longTokens = 131_072;
const shape8b = gpuShapes.find(({ name }) => name === 'llama-8b')!;

/** Reads the tables and sentences of reports, one after the other. Where one says a thing twice, the last counts. */
export function goalsOf(report: string): readonly Goal[] {
  const tables = readTables(report);
  return [
    checked(report),
    ...['memcheck', 'racecheck', 'synccheck'].map((tool) => partsGoal(report, tool)),
    ...greedy(report),
    ...decodeAttention(tables),
    ...besidePeers(tables),
    ...steps8b(tables),
    ...workload(report, tables),
    mixedLoad(report),
  ];
}

export function goalsTable(goals: readonly Goal[]): string {
  const verdicts = { true: 'yes', false: '**no**', undefined: '' };
  return [
    '| | asked | found | holds |',
    '|---|---|---|---|',
    ...goals.map(
      ({ what, asked, found, holds }) => `| ${what} | ${asked} | ${found} | ${verdicts[`${holds}`]} |`,
    ),
  ].join('\n');
}

interface Attention {
  readonly kind: string;
  readonly batch: number;
  readonly context: number;
  readonly microseconds: number;
  /** Of the bandwidth of a copy, in percent; absent for peers. */
  readonly share: number | undefined;
}

interface Prefill {
  readonly kind: string;
  readonly queries: number;
  readonly microseconds: number;
}

interface Tables {
  readonly attention: readonly Attention[];
  readonly prefill: readonly Prefill[];
  /** Tokens per second of the engine: by shape and row. */
  readonly steps: ReadonlyMap<string, number>;
  /** Of `generate`: by batch. */
  readonly generated: ReadonlyMap<number, number>;
  /** GB/s of a device copy, read and written. */
  readonly copy: number | undefined;
}

function readTables(report: string): Tables {
  const attention: Attention[] = [];
  const prefill: Prefill[] = [];
  const steps = new Map<string, number>();
  const generated = new Map<number, number>();
  let copy: number | undefined;
  let heading = '';
  for (const line of report.split('\n')) {
    if (!line.startsWith('|')) continue;
    const [name = '', first = '', second = '', third = ''] = line
      .slice(1)
      .split('|')
      .map((cell) => cell.trim());
    const value = Number.parseFloat(first);
    if (/tok\/s|µs/.test(first)) heading = name;
    if (!(value > 0)) continue;
    const shared = /^(.*?),? batch (\d+), context (\d+)$/.exec(name);
    const queries = /^(.*?),? (\d+) queries( after 0)?$/.exec(name);
    const generation = /^batch (\d+)$/.exec(name);
    if (name.startsWith('ceiling: device copy')) copy = Number.parseFloat(second);
    else if (/^(decode|prefill of)/.test(name) && heading.includes(' on '))
      steps.set(`${heading.split(' on ')[0]} ${name}`, value);
    else if (generation && heading.startsWith('transformers generate,'))
      generated.set(Number(generation[1]), value);
    else if (shared)
      attention.push({
        kind: shared[1]!,
        batch: Number(shared[2]),
        context: Number(shared[3]),
        microseconds: value,
        share: third.endsWith('%') ? Number.parseFloat(third) : undefined,
      });
    else if (queries) prefill.push({ kind: queries[1]!, queries: Number(queries[2]), microseconds: value });
  }
  return { attention, prefill, steps, generated, copy };
}

function goal(what: string, asked: string, found: string | undefined, holds?: boolean): Goal {
  return { what, asked, found: found ?? 'not measured', holds: found === undefined ? undefined : holds };
}

function last(pattern: RegExp, text: string): RegExpMatchArray | undefined {
  return [...text.matchAll(pattern)].at(-1);
}

const partsPattern = (name: string) =>
  new RegExp(`^${name}: (\\d+) of (\\d+) parts passed, (\\d+) cases passed, (\\d+) failed`, 'gm');

function checked(report: string): Goal {
  const found = last(partsPattern('check'), report);
  const isWhole = found !== undefined && found[1] === found[2] && found[4] === '0' && Number(found[3]) > 0;
  return goal(
    'kernels within tolerance of their twins',
    'all',
    found && `${found[3]} cases passed, ${found[4]} failed, ${found[1]} of ${found[2]} parts`,
    isWhole,
  );
}

function partsGoal(report: string, tool: string): Goal {
  const found = last(partsPattern(tool), report);
  return goal(
    `compute-sanitizer ${tool}`,
    'clean',
    found && `${found[1]} of ${found[2]} parts clean`,
    found !== undefined && found[1] === found[2],
  );
}

function greedy(report: string): readonly Goal[] {
  const found = last(
    /^Greedy output of (\d+) prompts.*?: (\d+) equal, (\d+) part.*?, (\d+) elsewhere\..* alone: (\d+)\./gm,
    report,
  );
  const [, all, equal, parted, elsewhere, alone] = found ?? [];
  return [
    goal(
      "greedy output as the CPU's",
      'all of 200 prompts',
      found && `${equal} of ${all}; ${parted} part at a tie of 0.05 nats, ${elsewhere} elsewhere`,
      equal === all,
    ),
    goal(
      'greedy output in a batch as alone',
      'all of 200 prompts',
      found && `${alone} of ${all}`,
      alone === all,
    ),
  ];
}

function decodeAttention({ attention }: Tables): readonly Goal[] {
  const own = attention.filter(({ kind }) => kind.startsWith('decode attention 32/8/128'));
  const long = own.filter(({ batch, context }) => batch * context >= longTokens);
  const shares = long.flatMap(({ kind, share }) =>
    kind.endsWith('bf16') && share !== undefined ? [share] : [],
  );
  const gains = long
    .filter(({ kind }) => kind.endsWith('e4m3'))
    .flatMap((fp8) => {
      const wide = long.find(
        (each) => each.kind.endsWith('bf16') && each.batch === fp8.batch && each.context === fp8.context,
      );
      return wide ? [wide.microseconds / fp8.microseconds] : [];
    });
  return [
    goal(
      'decode attention, 128k tokens and more, of the bandwidth of a copy',
      '≥ 85 %',
      range(shares, (share) => `${share.toFixed(1)} %`),
      Math.min(...shares) >= 85,
    ),
    goal(
      'the same with fp8 pages, beside bf16',
      '≥ 1.6x',
      range(gains, (gain) => `${gain.toFixed(2)}x`),
      Math.min(...gains) >= 1.6,
    ),
  ];
}

/** Least to greatest; undefined where there is none. */
function range(values: readonly number[], text: (value: number) => string): string | undefined {
  if (values.length === 0) return undefined;
  return `${text(Math.min(...values))} to ${text(Math.max(...values))}`;
}

function besidePeers({ attention, prefill }: Tables): readonly Goal[] {
  const isOwnDecode = ({ kind }: Attention) => kind.startsWith('decode attention');
  const decodes = attention
    .filter(({ kind }) => kind === 'decode attention 32/8/128 bf16')
    .flatMap((own) =>
      ratios(
        own.microseconds,
        attention.filter(
          (peer) => !isOwnDecode(peer) && peer.batch === own.batch && peer.context === own.context,
        ),
        `batch ${own.batch}, context ${own.context}`,
      ),
    );
  const isOwnPrefill = ({ kind }: Prefill) => kind.startsWith('prefill attention');
  const prefills = [...new Set(prefill.map(({ queries }) => queries))].flatMap((queries) => {
    const these = prefill.filter((each) => each.queries === queries);
    const own = these.filter(isOwnPrefill);
    if (own.length === 0) return [];
    const best = Math.min(...own.map(({ microseconds }) => microseconds));
    return ratios(
      best,
      these.filter((each) => !isOwnPrefill(each)),
      `${queries} queries`,
    );
  });
  return [
    besideGoal('decode attention beside the best peer', decodes),
    besideGoal('prefill attention beside the best peer', prefills),
  ];
}

interface Ratio {
  readonly slower: number;
  readonly where: string;
}

function ratios(
  own: number,
  peers: readonly { readonly kind: string; readonly microseconds: number }[],
  where: string,
): readonly Ratio[] {
  const [best] = peers.toSorted((a, b) => a.microseconds - b.microseconds);
  return best === undefined ? [] : [{ slower: own / best.microseconds, where: `${where}, ${best.kind}` }];
}

function besideGoal(what: string, found: readonly Ratio[]): Goal {
  const [worst] = found.toSorted((a, b) => b.slower - a.slower);
  const text =
    worst && `worst: ${worst.slower.toFixed(2)} of its time (${worst.where}), of ${found.length} points`;
  return goal(what, 'nowhere slower', text, worst !== undefined && worst.slower <= 1);
}

function steps8b({ steps, copy }: Tables): readonly Goal[] {
  const rate = (row: string) => steps.get(`${shape8b.name} ${row}`);
  const one = rate('decode, batch 1, context 1024');
  const many = rate('decode, batch 64, context 1024');
  const bound = copy === undefined ? undefined : (64 * copy * 1e9) / bytesOfStep(64, 1024 + 32);
  const share = many === undefined || bound === undefined ? undefined : (100 * many) / bound;
  const prefills = [512, 2048, 8192].flatMap((tokens) => rate(`prefill of ${tokens}`) ?? []);
  return [
    goal(
      '8B, batch 1',
      '≥ 230 tok/s',
      one === undefined ? undefined : `${one} tok/s`,
      one !== undefined && one >= 230,
    ),
    goal(
      '8B, batch 64, context 1k, of the bytes at the bandwidth of a copy',
      '≥ 60 %',
      share === undefined ? undefined : `${share.toFixed(0)} % (${many} tok/s)`,
      share !== undefined && share >= 60,
    ),
    goal(
      '8B, prompts',
      '≥ 35,000 tok/s',
      range(prefills, (value) => `${value} tok/s`),
      Math.max(...prefills) >= 35_000,
    ),
  ];
}

/** Weights and cache that a step of decoding reads, in bfloat16; embeddings are tied. */
function bytesOfStep(batch: number, context: number): number {
  const { hiddenSize, layers, heads, kvHeads, headDim, intermediateSize, vocabSize } = shape8b;
  const layer = hiddenSize * (headDim * (2 * heads + 2 * kvHeads) + 3 * intermediateSize);
  return 2 * (layers * layer + vocabSize * hiddenSize) + 2 * batch * context * layers * 2 * kvHeads * headDim;
}

function workload(report: string, { generated }: Tables): readonly Goal[] {
  const found = last(/^256 requests, .*?, (\d+) tok\/s\./gm, report);
  const rate = found && Number(found[1]);
  const alone = generated.get(1);
  const best = Math.max(...generated.values());
  const ratio = rate && alone ? rate / alone : undefined;
  return [
    goal(
      '256 requests, 0.6B shape',
      '≥ 18,000 tok/s',
      rate === undefined ? undefined : `${rate} tok/s`,
      rate !== undefined && rate >= 18_000,
    ),
    goal(
      'the same beside `generate` one by one',
      '≥ 24x',
      ratio === undefined ? undefined : `${ratio.toFixed(1)}x`,
      ratio !== undefined && ratio >= 24,
    ),
    {
      ...goal(
        'the same beside its best static batch',
        'printed',
        rate && best > 0 ? `${(rate / best).toFixed(2)}x` : undefined,
      ),
      holds: undefined,
    },
  ];
}

function mixedLoad(report: string): Goal {
  const minutes = [...report.matchAll(/^minute \d+: /gm)].length;
  const hasFailed = /^mixed load: (failed|ended)/m.test(report);
  return goal(
    'mixed load',
    '10 minutes without error',
    minutes > 0 || hasFailed ? `${minutes} minutes${hasFailed ? ', failed' : ''}` : undefined,
    minutes >= 10 && !hasFailed,
  );
}
