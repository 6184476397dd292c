import type { Slo } from '../../scheduling/inference-request.ts';
import { estimatedCapacityRps } from '../capacity.ts';
import { exponential, lognormal, type Random, seededRandom } from '../random.ts';
import { blockTokens, type Workload, type WorkloadOptions, type WorkloadRequest } from '../workload.ts';
import { workloadRequest } from '../workload-request.ts';

/** One kind of request in a mix. */
interface RequestClass {
  readonly name: string;
  readonly share: number;
  /** Medians; both are log-normal. */
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly sigma: number;
  /** Prompts begin with one of so many system prompts of `systemTokens`. */
  readonly systems: number;
  readonly systemTokens: number;
  readonly priority: number;
  readonly slo: Slo;
  /** Rate relative to its share, between these parts of the run. */
  readonly flood?: { readonly factor: number; readonly from: number; readonly to: number };
}

const requestCount = 16_000;

/** Three classes with objectives of their own. The lengths are ours; the objectives those of usual products. */
const objectiveClasses: readonly RequestClass[] = [
  {
    name: 'interactive',
    share: 0.5,
    promptTokens: 1200,
    outputTokens: 200,
    sigma: 0.8,
    systems: 8,
    systemTokens: 512,
    priority: 0,
    slo: { ttftMs: 500, tpotMs: 30 },
  },
  {
    name: 'standard',
    share: 0.35,
    promptTokens: 4000,
    outputTokens: 350,
    sigma: 0.8,
    systems: 8,
    systemTokens: 1024,
    priority: 0,
    slo: { ttftMs: 2000, tpotMs: 60 },
  },
  {
    name: 'batch',
    share: 0.15,
    promptTokens: 16_000,
    outputTokens: 500,
    sigma: 0.8,
    systems: 2,
    systemTokens: 2048,
    priority: 0,
    slo: { ttftMs: 30_000, tpotMs: 200 },
  },
];

/** Ten tenants of equal share. */
const calmTenants: readonly RequestClass[] = Array.from({ length: 10 }, (_, tenant) => ({
  name: `tenant-${tenant}`,
  share: 0.1,
  promptTokens: 3000,
  outputTokens: 250,
  sigma: 0.7,
  systems: 4,
  systemTokens: 1024,
  priority: 0,
  slo: { ttftMs: undefined, tpotMs: undefined },
}));

/** The first sends ten times its share in the middle of the run. */
const tenantClasses: readonly RequestClass[] = calmTenants.map((tenant, i) =>
  i === 0 ? { ...tenant, flood: { factor: 10, from: 0.3, to: 0.7 } } : tenant,
);

export const mixWorkloads: readonly Workload[] = [
  mixWorkload('slo-mix', 'three classes with objectives of their own', objectiveClasses),
  mixWorkload('tenants', 'ten tenants; one sends ten times its share in the middle', tenantClasses),
  mixWorkload('tenants-calm', 'the same without the flood, request for request', calmTenants, 'tenants'),
];

/** `seedName`: workloads that share it have the same streams for classes that are the same. */
function mixWorkload(
  name: string,
  description: string,
  classes: readonly RequestClass[],
  seedName = name,
): Workload {
  return {
    name,
    description,
    pods: 16,
    preset: 'llama8b-h100',
    warmShare: 0.1,
    create: (options) => ({ arrivals: mix(seedName, classes, options) }),
  };
}

/** Independent Poisson streams, merged. */
function mix(
  name: string,
  classes: readonly RequestClass[],
  { seed, load, pods, model, requestsPerSecond, share }: WorkloadOptions,
): readonly WorkloadRequest[] {
  const rps = requestsPerSecond ?? load * estimatedCapacityRps(classes.flatMap(shapes), model, pods);
  const durationMs = (requestCount * share * 1000) / rps;
  const streams = classes.map((requestClass, index) =>
    stream(name, requestClass, index, durationMs, rps, seededRandom(seed, `${name} ${requestClass.name}`)),
  );
  return streams.flat().sort((a, b) => a.arrivalMs - b.arrivalMs);
}

function stream(
  name: string,
  requestClass: RequestClass,
  index: number,
  durationMs: number,
  rps: number,
  random: Random,
): readonly WorkloadRequest[] {
  const { systems, systemTokens, flood } = requestClass;
  const requests: WorkloadRequest[] = [];
  const firstBlock = index * 2 ** 24;
  let nextBlock = firstBlock + systems * Math.round(systemTokens / blockTokens);
  let arrivalMs = 0;
  for (;;) {
    const part = arrivalMs / durationMs;
    const isFlooding = flood !== undefined && part >= flood.from && part < flood.to;
    const classRps = rps * requestClass.share * (isFlooding ? flood.factor : 1);
    arrivalMs += exponential(random, 1000 / classRps);
    if (arrivalMs >= durationMs) return requests;
    const { promptTokens, outputTokens, system } = lengths(requestClass, random);
    const systemBlocks = Math.round(systemTokens / blockTokens);
    const blocks = Int32Array.from({ length: Math.ceil(promptTokens / blockTokens) }, (_, i) =>
      i < systemBlocks ? firstBlock + system * systemBlocks + i : nextBlock++,
    );
    requests.push(
      workloadRequest({
        id: `${name}-${requestClass.name}-${requests.length}`,
        arrivalMs,
        promptTokens,
        outputTokens,
        blocks,
        tenant: requestClass.name,
        priority: requestClass.priority,
        slo: requestClass.slo,
      }),
    );
  }
}

function lengths(requestClass: RequestClass, random: Random) {
  const { promptTokens, outputTokens, sigma, systems, systemTokens } = requestClass;
  const own = Math.min(100_000, Math.round(lognormal(random, Math.log(promptTokens), sigma)));
  return {
    promptTokens: systemTokens + Math.max(1, own),
    outputTokens: Math.max(1, Math.min(4000, Math.round(lognormal(random, Math.log(outputTokens), sigma)))),
    system: Math.floor(random() * systems),
  };
}

/** A hundred requests of the mean lengths in all, for the estimate of capacity. */
function shapes({ share, promptTokens, outputTokens, sigma, systemTokens }: RequestClass) {
  const meanFactor = Math.exp(sigma ** 2 / 2);
  return Array.from({ length: Math.round(100 * share) }, () => ({
    promptTokens: systemTokens + promptTokens * meanFactor,
    outputTokens: outputTokens * meanFactor,
    blockIds: undefined,
  }));
}
