import { lognormal, type Random, seededRandom, uniformInteger } from '../random.ts';
import { blockTokens, type RequestSource, type Workload, type WorkloadRequest } from '../workload.ts';
import { workloadRequest } from '../workload-request.ts';

/** One conversation: what each turn adds, decided when it begins. */
export interface Turn {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Between the answer before and this turn. */
  readonly thinkMs: number;
}

export interface SessionPlan {
  /** System prompt of this session alone, behind the shared one. */
  readonly ownTokens: number;
  readonly turns: readonly Turn[];
}

export interface SessionWorkloadOptions {
  readonly name: string;
  readonly description: string;
  readonly pods: number;
  /** Sessions at once, at load 1 and this many pods. */
  readonly concurrency: number;
  /** Sessions in all, as a multiple of `concurrency`. */
  readonly rounds: number;
  /** System prompt of all sessions. */
  readonly sharedTokens: number;
  readonly plan: (random: Random) => SessionPlan;
}

/** A closed loop: each session sends its next turn when the one before is answered, and a new one follows it. */
function sessionWorkload(options: SessionWorkloadOptions): Workload {
  const { name, description, pods, concurrency, rounds } = options;
  return {
    name,
    description,
    pods,
    preset: 'llama8b-h100',
    warmShare: 0.1,
    create: ({ seed, load, pods: runPods, share }) => {
      const atOnce = Math.max(1, Math.round((concurrency * load * runPods) / pods));
      return closedLoop(options, seed, atOnce, Math.ceil(atOnce * rounds * share));
    },
  };
}

function closedLoop(
  options: SessionWorkloadOptions,
  seed: number,
  atOnce: number,
  sessions: number,
): RequestSource {
  const running: Session[] = [];
  /** Content depends on the seed and the session's number alone, so every policy gets the same. */
  const begin = (nowMs: number): WorkloadRequest => {
    const session = new Session(options, running.length, seed);
    running.push(session);
    return session.request(nowMs);
  };
  const spread = seededRandom(seed, `${options.name} starts`);
  const arrivals: WorkloadRequest[] = [];
  // Starts are spread over the first half minute, or all first prompts would come at once.
  for (let i = 0; i < Math.min(atOnce, sessions); i++) arrivals.push(begin(spread() * 30_000));
  return {
    arrivals: arrivals.sort((a, b) => a.arrivalMs - b.arrivalMs),
    next: ({ session }, nowMs) => {
      const following = running[session!]!.next(nowMs);
      if (following !== undefined) return following;
      return running.length < sessions ? begin(nowMs) : undefined;
    },
  };
}

/** Blocks are numbered below this by every session on its own, and above it by the shared prompt. */
const blocksPerSession = 2 ** 13;

class Session {
  readonly #options: SessionWorkloadOptions;
  readonly #index: number;
  readonly #plan: SessionPlan;
  #turn = 0;
  #promptTokens: number;
  /** Full blocks keep their ids from turn to turn; a block left over at the end of a prompt gets one of its own. */
  #partialBlocks = 0;

  constructor(options: SessionWorkloadOptions, index: number, seed: number) {
    this.#options = options;
    this.#index = index;
    this.#plan = options.plan(seededRandom(seed, `${options.name} session ${index}`));
    this.#promptTokens = options.sharedTokens + this.#plan.ownTokens + this.#plan.turns[0]!.inputTokens;
  }

  next(nowMs: number): WorkloadRequest | undefined {
    const answered = this.#plan.turns[this.#turn]!;
    const turn = this.#plan.turns[this.#turn + 1];
    if (turn === undefined) return undefined;
    this.#turn++;
    this.#promptTokens += answered.outputTokens + turn.inputTokens;
    return this.request(nowMs + turn.thinkMs);
  }

  request(arrivalMs: number): WorkloadRequest {
    return workloadRequest({
      id: `${this.#options.name}-${this.#index}-${this.#turn}`,
      arrivalMs,
      promptTokens: this.#promptTokens,
      outputTokens: this.#plan.turns[this.#turn]!.outputTokens,
      blocks: this.#blocks(),
      session: this.#index,
    });
  }

  #blocks(): Int32Array {
    const sharedBlocks = Math.round(this.#options.sharedTokens / blockTokens);
    const count = Math.ceil(this.#promptTokens / blockTokens);
    const isPartial = this.#promptTokens % blockTokens !== 0;
    const first = (this.#index + 1) * blocksPerSession;
    return Int32Array.from({ length: count }, (_, i) => {
      if (i < sharedBlocks && i < count - 1) return i;
      if (i === count - 1 && isPartial) return first + blocksPerSession - 1 - this.#partialBlocks++;
      return first + i;
    });
  }
}

function turns(random: Random, count: number, turn: (random: Random) => Turn): readonly Turn[] {
  return Array.from({ length: count }, () => turn(random));
}

/** Log-normal with this mean and sigma, at most `largest`. */
function boundedLognormal(random: Random, meanValue: number, sigma: number, largest: number): number {
  const mu = Math.log(meanValue) - sigma ** 2 / 2;
  return Math.max(1, Math.min(largest, Math.round(lognormal(random, mu, sigma))));
}

/** Parameters from llm-d's benchmark catalogue and blog, where no other source is given. */
export const sessionWorkloads: readonly Workload[] = [
  sessionWorkload({
    name: 'multi-turn',
    description: 'chats that grow: 1,000 + 200 tokens in, 200 out, eight turns',
    pods: 4,
    concurrency: 160,
    rounds: 4,
    sharedTokens: 1000,
    plan: (random) => ({
      ownTokens: 0,
      turns: turns(random, 8, () => ({ inputTokens: 200, outputTokens: 200, thinkMs: 5000 * random() })),
    }),
  }),
  sessionWorkload({
    name: 'reasoning',
    description: 'short prompts, long thoughts: 250 + 1,000 in, 8,000 out (log-normal, at most 32,000)',
    pods: 10,
    concurrency: 250,
    rounds: 6,
    sharedTokens: 250,
    plan: (random) => ({
      ownTokens: 0,
      turns: turns(random, 1, () => ({
        inputTokens: 1000,
        outputTokens: boundedLognormal(random, 8000, 0.8, 32_000),
        thinkMs: 0,
      })),
    }),
  }),
  sessionWorkload({
    name: 'code-generation',
    description: 'long sessions: 3,000 shared, 15 to 100 thousand own, 2 to 20 turns of 1,500 in and 800 out',
    pods: 10,
    concurrency: 60,
    rounds: 4,
    sharedTokens: 3000,
    plan: (random) => ({
      ownTokens: uniformInteger(random, 15_000, 95_000),
      turns: turns(random, boundedLognormal(random, 6, 0.6, 20) + 1, () => ({
        inputTokens: 1500,
        outputTokens: 800,
        thinkMs: 0,
      })),
    }),
  }),
  sessionWorkload({
    name: 'interactive-chat',
    description: 'chats with long pauses: 1,000 shared, 4,000 own, four turns of 50 in and 300 out',
    pods: 4,
    concurrency: 400,
    rounds: 3,
    sharedTokens: 1000,
    plan: (random) => ({
      ownTokens: 4000,
      turns: turns(random, 4, () => ({
        inputTokens: 50,
        outputTokens: 300,
        thinkMs: 30_000 + 30_000 * random(),
      })),
    }),
  }),
];
