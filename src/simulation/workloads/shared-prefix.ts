import { exponential, type Random, seededRandom } from '../random.ts';
import { blockTokens, type Workload, type WorkloadRequest } from '../workload.ts';
import { workloadRequest } from '../workload-request.ts';

/** A constant rate for a while. */
export interface Stage {
  readonly requestsPerSecond: number;
  readonly seconds: number;
}

export interface SharedPrefixOptions {
  readonly name: string;
  readonly description: string;
  readonly pods: number;
  readonly preset: Workload['preset'];
  readonly warmShare: number;
  readonly groups: number;
  readonly promptsPerGroup: number;
  /** Rounded to whole blocks: engines share prefixes in blocks of 16, which hardly round. */
  readonly systemTokens: number;
  readonly questionTokens: number;
  readonly outputTokens: number;
  readonly stages: readonly Stage[];
}

/** The shared-prefix generator of inference-perf: groups with a system prompt, each with some fixed questions. */
function sharedPrefixWorkload(options: SharedPrefixOptions): Workload {
  const { name, description, pods, preset, warmShare, stages } = options;
  return {
    name,
    description,
    pods,
    preset,
    warmShare,
    create: ({ seed, load, share, requestsPerSecond }) => {
      const random = seededRandom(seed, name);
      const prompts = promptsOf(options);
      const ladder: readonly Stage[] =
        requestsPerSecond === undefined ? stages : [{ requestsPerSecond, seconds: totalSeconds(stages) }];
      const arrivals: WorkloadRequest[] = [];
      for (const arrivalMs of poissonStages(ladder, load, random)) {
        arrivals.push(
          workloadRequest({
            id: `${name}-${arrivals.length}`,
            arrivalMs,
            promptTokens: options.systemTokens + options.questionTokens,
            outputTokens: options.outputTokens,
            blocks: prompts[Math.floor(random() * prompts.length)]!,
          }),
        );
      }
      return { arrivals: arrivals.slice(0, Math.max(1, Math.ceil(arrivals.length * share))) };
    },
  };
}

function promptsOf(options: SharedPrefixOptions): readonly Int32Array[] {
  const systemBlocks = Math.round(options.systemTokens / blockTokens);
  const allBlocks = Math.ceil((options.systemTokens + options.questionTokens) / blockTokens);
  const prompts: Int32Array[] = [];
  let nextId = 0;
  for (let group = 0; group < options.groups; group++) {
    const system = Array.from({ length: systemBlocks }, () => nextId++);
    for (let prompt = 0; prompt < options.promptsPerGroup; prompt++) {
      const own = Array.from({ length: allBlocks - systemBlocks }, () => nextId++);
      prompts.push(Int32Array.from([...system, ...own]));
    }
  }
  return prompts;
}

function* poissonStages(stages: readonly Stage[], load: number, random: Random): Generator<number> {
  let startMs = 0;
  for (const { requestsPerSecond, seconds } of stages) {
    const endMs = startMs + seconds * 1000;
    const gapMs = 1000 / (requestsPerSecond * load);
    for (let t = startMs + exponential(random, gapMs); t < endMs; t += exponential(random, gapMs)) yield t;
    startMs = endMs;
  }
}

function totalSeconds(stages: readonly Stage[]): number {
  return stages.reduce((sum, stage) => sum + stage.seconds, 0);
}

const ladder = (...stages: readonly (readonly [requestsPerSecond: number, seconds: number])[]) =>
  stages.map(([requestsPerSecond, seconds]) => ({ requestsPerSecond, seconds }));

/** llm-d's optimized-baseline guide: 15/s to warm up for 50 s, then the ladder. */
const saasLadder = ladder(
  [15, 50],
  ...([
    [3, 20],
    [10, 20],
    [15, 20],
    [20, 38],
    [22, 34],
    [25, 30],
    [30, 25],
    [35, 21],
    [40, 38],
    [43, 36],
    [46, 33],
    [49, 30],
    [52, 29],
    [55, 27],
    [57, 26],
    [60, 25],
  ] as const),
);

const saas = {
  pods: 8,
  preset: 'qwen32b-2h100',
  warmShare: 0.04,
  groups: 150,
  promptsPerGroup: 5,
  systemTokens: 6000,
  questionTokens: 1200,
} as const;

export const sharedPrefixWorkloads: readonly Workload[] = [
  sharedPrefixWorkload({
    name: 'b2b-saas',
    description: "llm-d's benchmark: 150 groups x 5 prompts of 7,200 tokens, 1,000 out, rising 3 to 60/s",
    ...saas,
    outputTokens: 1000,
    stages: saasLadder,
  }),
  sharedPrefixWorkload({
    name: 'b2b-saas-short',
    description: 'the same with 250 tokens out',
    ...saas,
    outputTokens: 250,
    stages: saasLadder,
  }),
  sharedPrefixWorkload({
    name: 'b2b-saas-steady',
    description: 'the same prompts, 1,000 out, at a steady 10/s',
    ...saas,
    outputTokens: 1000,
    stages: ladder([8, 100], [10, 300]),
  }),
  sharedPrefixWorkload({
    name: 'shared-32x32',
    description: '32 groups x 32 prompts of 2,304 tokens, 256 out, rising 2 to 20/s',
    pods: 4,
    preset: 'qwen32b-2h100',
    warmShare: 0.1,
    groups: 32,
    promptsPerGroup: 32,
    systemTokens: 2048,
    questionTokens: 256,
    outputTokens: 256,
    stages: ladder([2, 50], [5, 50], [8, 50], [10, 50], [12, 50], [15, 50], [20, 50]),
  }),
];
