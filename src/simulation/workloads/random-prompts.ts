import { exponential, lognormal, seededRandom } from '../random.ts';
import { blockTokens, type Workload } from '../workload.ts';
import { workloadRequest } from '../workload-request.ts';

export interface RandomPromptsOptions {
  readonly name: string;
  readonly description: string;
  readonly pods: number;
  /** At load 1, all pods together. */
  readonly requestsPerSecond: number;
  readonly requests: number;
  /** Medians; log-normal with `sigma`. */
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly sigma: number;
}

/** Prompts that share nothing, at a Poisson rate. */
function randomPrompts(options: RandomPromptsOptions): Workload {
  const { name, description, pods } = options;
  return {
    name,
    description,
    pods,
    preset: 'llama8b-h100',
    warmShare: 0.1,
    create: ({ seed, load, pods: runPods, share, requestsPerSecond }) => {
      const random = seededRandom(seed, name);
      const rps = requestsPerSecond ?? (load * options.requestsPerSecond * runPods) / pods;
      const length = (median: number, most: number) =>
        Math.max(1, Math.min(most, Math.round(lognormal(random, Math.log(median), options.sigma))));
      let arrivalMs = 0;
      let block = 0;
      const arrivals = Array.from({ length: Math.max(1, Math.ceil(options.requests * share)) }, (_, i) => {
        arrivalMs += exponential(random, 1000 / rps);
        const promptTokens = length(options.promptTokens, 60_000);
        return workloadRequest({
          id: `${name}-${i}`,
          arrivalMs,
          promptTokens,
          outputTokens: length(options.outputTokens, 4000),
          blocks: Int32Array.from({ length: Math.ceil(promptTokens / blockTokens) }, () => block++),
        });
      });
      return { arrivals };
    },
  };
}

/** For the choice between local and remote prefill: llm-d's 5,000 in and 250 out, and chats too short to send. */
export const randomPromptWorkloads: readonly Workload[] = [
  randomPrompts({
    name: 'pd-5000-250',
    description: 'prompts of 5,000 tokens that share nothing, 250 out',
    pods: 8,
    requestsPerSecond: 26,
    requests: 8000,
    promptTokens: 5000,
    outputTokens: 250,
    sigma: 0.3,
  }),
  randomPrompts({
    name: 'pd-chat',
    description: 'chats of 300 tokens in and 300 out that share nothing',
    pods: 4,
    requestsPerSecond: 60,
    requests: 8000,
    promptTokens: 300,
    outputTokens: 300,
    sigma: 0.6,
  }),
];
