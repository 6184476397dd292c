import { exponential, seededRandom } from '../random.ts';
import { blockTokens, type Workload, type WorkloadRequest } from '../workload.ts';
import { workloadRequest } from '../workload-request.ts';

const requestsPerSecondPerPod = 100;
/** Known prompts per pod; a pod's cache holds them many times over. */
const promptsPerPod = 50;
const promptBlocks = 2;
const outputTokens = 8;
const requestCount = 100_000;

/** Short requests at 100/s per pod: what the router's own cost is measured with. */
function scaleWorkload(pods: number): Workload {
  return {
    name: `scale-${pods}`,
    description: `${pods} pods at ${(pods * requestsPerSecondPerPod).toLocaleString('en')} short requests/s`,
    pods,
    preset: 'llama8b-h100',
    warmShare: 0.1,
    create: ({ seed, load, pods: runPods, share, requestsPerSecond }) => {
      const random = seededRandom(seed, 'scale');
      const gapMs = 1000 / (requestsPerSecond ?? load * runPods * requestsPerSecondPerPod);
      const prompts = Array.from({ length: promptsPerPod * runPods }, (_, prompt) =>
        Int32Array.from({ length: promptBlocks }, (_block, i) => prompt * promptBlocks + i),
      );
      const arrivals: WorkloadRequest[] = [];
      let arrivalMs = 0;
      for (let i = 0; i < Math.max(1, requestCount * share); i++) {
        arrivalMs += exponential(random, gapMs);
        arrivals.push(
          workloadRequest({
            id: `scale-${i}`,
            arrivalMs,
            promptTokens: promptBlocks * blockTokens,
            outputTokens,
            blocks: prompts[Math.floor(random() * prompts.length)]!,
          }),
        );
      }
      return { arrivals };
    },
  };
}

export const scaleWorkloads: readonly Workload[] = [10, 100, 1000].map(scaleWorkload);
