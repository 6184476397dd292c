import type { Fault } from '../faults.ts';
import type { Workload } from '../workload.ts';
import { mixWorkloads } from './mixes.ts';
import { randomPromptWorkloads } from './random-prompts.ts';
import { scaleWorkloads } from './scale.ts';
import { sessionWorkloads } from './sessions.ts';
import { sharedPrefixWorkloads } from './shared-prefix.ts';
import { toolAgent } from './tool-agent.ts';
import { traceWorkload } from './trace-replay.ts';

const conversation = {
  trace: 'conversation',
  pods: 16,
  referenceRpsPerPod: 19.1 / 16,
} as const;

/** Load 1 is the largest rate at which llm-d's code default keeps 90 % of the requests within their objective. */
const traces: readonly Workload[] = [
  traceWorkload({
    ...conversation,
    name: 'trace-conversation',
    description: "Mooncake's conversations: 12,031 requests, 12,035 tokens in, 343 out",
  }),
  traceWorkload({
    name: 'trace-synthetic',
    description: "Mooncake's synthetic mix: 3,993 requests, 15,325 tokens in, 149 out, much reuse",
    trace: 'synthetic',
    pods: 16,
    referenceRpsPerPod: 24 / 16,
  }),
  traceWorkload({
    name: 'azure-code',
    description: 'Azure 2023 code completion: 8,819 requests in bursts, 2,048 tokens in, 28 out, no reuse',
    trace: 'azureCode',
    pods: 8,
  }),
  traceWorkload({
    name: 'azure-conv',
    description: 'Azure 2023 conversations: 19,366 requests, 1,155 tokens in, 211 out, no reuse',
    trace: 'azureConversation',
    pods: 8,
  }),
];

const faulty = (name: string, description: string, faults: NonNullable<Workload['faults']>): Workload =>
  traceWorkload({ ...conversation, name: `faults-${name}`, description, faults });

/** The conversation trace with something going wrong. */
const faultWorkloads: readonly Workload[] = [
  faulty('crash', 'conversations; one pod is gone for a tenth of the run', (_pods, durationMs) => [
    { kind: 'crash', endpoint: 0, atMs: 0.4 * durationMs, backMs: 0.5 * durationMs },
  ]),
  faulty('slow', 'conversations; a tenth of the pods 30 % slower', (pods) =>
    Array.from({ length: Math.max(1, Math.round(pods / 10)) }, (_, endpoint): Fault => {
      return { kind: 'slow', endpoint, factor: 1.3 };
    }),
  ),
  faulty('stale', 'conversations; metrics read once a second', () => [
    { kind: 'stale_metrics', scrapeMs: 1000 },
  ]),
  faulty('lost-events', 'conversations; 1 % of KV event batches lost', () => [
    { kind: 'lost_events', share: 0.01 },
  ]),
  faulty('scale-out', 'conversations; half of the pods join after a third of the run', (pods, durationMs) =>
    Array.from({ length: Math.floor(pods / 2) }, (_, i): Fault => {
      return { kind: 'late_start', endpoint: pods - 1 - i, atMs: durationMs / 3 };
    }),
  ),
];

/** All that `--workload` knows. */
export const workloads: readonly Workload[] = [
  ...traces,
  toolAgent,
  ...sharedPrefixWorkloads,
  ...sessionWorkloads,
  ...mixWorkloads,
  ...faultWorkloads,
  ...randomPromptWorkloads,
  ...scaleWorkloads,
];

/** Throws an Error that lists the known names. */
export function findWorkload(name: string): Workload {
  const workload = workloads.find((candidate) => candidate.name === name);
  if (workload !== undefined) return workload;
  throw new Error(`workload "${name}" is unknown; known: ${workloads.map((each) => each.name).join(', ')}`);
}
