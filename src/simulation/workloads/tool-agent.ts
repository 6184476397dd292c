import { exponential, lognormal, type Random, seededRandom, uniformInteger } from '../random.ts';
import { blockTokens, type Workload, type WorkloadRequest } from '../workload.ts';
import { workloadRequest } from '../workload-request.ts';

/** Requests/s that the reference policy bears per pod of the llama8b-h100 preset (90 % within SLO). */
const referenceRpsPerPod = 92 / 16;
const requestCount = 23_608;
const liveSessions = 1500;

/**
 * Two agents with hot shared prompts and short answers beside chat sessions that grow. Shaped after the public
 * description of Mooncake's tool-agent trace (FAST 2025, table 1), which is not to be had itself: 40 % an agent
 * of 12 shared blocks and 1 to 4 own, 15 % one of 5 shared and 2 own, 45 % sessions.
 */
export const toolAgent: Workload = {
  name: 'tool-agent',
  description: 'two agents with hot shared prompts, short answers, and growing chat sessions',
  pods: 16,
  preset: 'llama8b-h100',
  warmShare: 0.1,
  create: ({ seed, load, pods, share, requestsPerSecond }) => {
    const random = seededRandom(seed, 'tool-agent');
    const gapMs = 1000 / (requestsPerSecond ?? load * pods * referenceRpsPerPod);
    const make = generator(random);
    const arrivals: WorkloadRequest[] = [];
    let arrivalMs = 0;
    for (let i = 0; i < Math.max(1, requestCount * share); i++) {
      arrivalMs += exponential(random, gapMs);
      arrivals.push(workloadRequest({ id: `tool-agent-${i}`, arrivalMs, ...make() }));
    }
    return { arrivals };
  },
};

interface Prompt {
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly blocks: Int32Array;
}

function generator(random: Random): () => Prompt {
  const largeAgent = Array.from({ length: 12 }, (_, i) => 46 + i);
  const smallAgent = Array.from({ length: 5 }, (_, i) => 74 + i);
  let nextBlock = 200;
  const ownBlocks = (count: number): number[] => Array.from({ length: count }, () => nextBlock++);
  /** Most recently used first. */
  const sessions: number[][] = [];

  const callLargeAgent = (): Prompt => {
    const own = 1 + Math.floor(Math.min(3.99, lognormal(random, 0, 0.8)));
    return {
      promptTokens: (12 + own - 1) * blockTokens + uniformInteger(random, 1, blockTokens),
      outputTokens: random() < 0.55 ? 3 : uniformInteger(random, 20, 49),
      blocks: Int32Array.from([...largeAgent, ...ownBlocks(own)]),
    };
  };
  const callSmallAgent = (): Prompt => ({
    promptTokens: 6 * blockTokens + uniformInteger(random, 30, 129),
    outputTokens: uniformInteger(random, 16, 24),
    blocks: Int32Array.from([...smallAgent, ...ownBlocks(2)]),
  });
  const chat = (): Prompt => {
    const index = Math.floor(random() * random() * sessions.length);
    const known = random() < 0.5 ? sessions[index] : undefined;
    if (known !== undefined) sessions.splice(index, 1);
    const firstBlocks = Math.min(200, Math.max(1, Math.floor(lognormal(random, 7.9, 1.2) / blockTokens)));
    const session = known ?? [0, ...ownBlocks(firstBlocks)];
    if (known !== undefined) session.push(...ownBlocks(uniformInteger(random, 1, 3)));
    sessions.unshift(session);
    if (sessions.length > liveSessions) sessions.pop();
    return {
      promptTokens: session.length * blockTokens - uniformInteger(random, 0, 399),
      outputTokens: Math.max(3, Math.min(2000, Math.floor(lognormal(random, 5.8, 0.6)))),
      blocks: Int32Array.from(session),
    };
  };
  return () => {
    const kind = random();
    if (kind < 0.4) return callLargeAgent();
    return kind < 0.55 ? callSmallAgent() : chat();
  };
}
