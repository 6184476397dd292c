import { estimatedCapacityRps } from '../capacity.ts';
import { type Random, seededRandom } from '../random.ts';
import { readTrace, shippedTracePath, type shippedTraces, type TraceEntry } from '../trace-file.ts';
import { blockTokens, type RequestSource, type Workload, type WorkloadOptions } from '../workload.ts';
import { workloadRequest } from '../workload-request.ts';

/**
 * Mooncake's conversation stamps are rounded to 3 s. A request is placed evenly between its stamp and the next
 * distinct one, at most this far, so that seeds differ and bursts stay bursts.
 */
const longestSpreadMs = 3000;

export interface TraceWorkloadOptions {
  readonly name: string;
  readonly description: string;
  readonly pods: number;
  /** A shipped trace, read when it is replayed, or entries by their time. */
  readonly trace: keyof typeof shippedTraces | readonly TraceEntry[];
  /** Requests/s that count as load 1, per pod of the reference preset; undefined = estimated. */
  readonly referenceRpsPerPod?: number;
  readonly faults?: Workload['faults'];
}

/** Replays a trace. Its rate is raised by compressing time. */
export function traceWorkload(options: TraceWorkloadOptions): Workload {
  const { name, description, pods, trace, referenceRpsPerPod, faults } = options;
  let entries: readonly TraceEntry[] | undefined;
  const read = () => {
    entries ??= typeof trace === 'string' ? readTrace(shippedTracePath(trace)) : trace;
    return entries;
  };
  return {
    name,
    description,
    pods,
    preset: 'llama8b-h100',
    warmShare: 0.1,
    ...(faults === undefined ? {} : { faults }),
    create: (run) => replay(name, read(), run, referenceRpsPerPod),
  };
}

function replay(
  name: string,
  entries: readonly TraceEntry[],
  options: WorkloadOptions,
  referenceRpsPerPod: number | undefined,
): RequestSource {
  const { seed, load, pods, model, requestsPerSecond, share } = options;
  const firstMs = entries[0]!.timestampMs;
  const durationMs = entries.at(-1)!.timestampMs - firstMs;
  const recordedRps = (entries.length / Math.max(1, durationMs)) * 1000;
  const targetRps =
    requestsPerSecond ?? load * capacityRps(entries, options, pods * (referenceRpsPerPod ?? 0), model.name);
  const compression = targetRps / recordedRps;

  const kept = entries.slice(0, Math.max(1, Math.ceil(entries.length * share)));
  const stamps = spreadStamps(kept, seededRandom(seed, 'stamps'));
  const order = stamps.map((_, index) => index).sort((a, b) => stamps[a]! - stamps[b]!);
  let ownBlock = 1 << 30;
  const arrivals = order.map((index) => {
    const entry = kept[index]!;
    const blocks = Int32Array.from(
      entry.blockIds ?? { length: Math.ceil(entry.promptTokens / blockTokens) },
      (id: number | undefined) => id ?? ownBlock++,
    );
    return workloadRequest({
      id: `${name}-${index}`,
      arrivalMs: (stamps[index]! - firstMs) / compression,
      promptTokens: entry.promptTokens,
      outputTokens: entry.outputTokens,
      blocks,
    });
  });
  return { arrivals };
}

/** What the reference policy was measured to bear, if it was for this preset; an estimate otherwise. */
function capacityRps(
  entries: readonly TraceEntry[],
  { model, pods }: WorkloadOptions,
  measuredRps: number,
  preset: string,
): number {
  if (measuredRps > 0 && preset === 'llama8b-h100') return measuredRps;
  return estimatedCapacityRps(entries, model, pods);
}

function spreadStamps(entries: readonly TraceEntry[], random: Random): number[] {
  const stamps = new Array<number>(entries.length);
  let nextMs = entries.at(-1)!.timestampMs + longestSpreadMs;
  for (let i = entries.length - 1; i >= 0; i--) {
    const stampMs = entries[i]!.timestampMs;
    const following = entries[i + 1];
    if (following !== undefined && following.timestampMs > stampMs) nextMs = following.timestampMs;
    stamps[i] = stampMs + random() * Math.min(longestSpreadMs, nextMs - stampMs);
  }
  return stamps;
}
