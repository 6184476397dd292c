import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { EngineModel, EnginePresetName } from './engine-model.ts';
import type { Fault } from './faults.ts';

/** One request of a workload: what the router sees, and what only the engine and the client know. */
export interface WorkloadRequest {
  /** As the product's scheduler sees it; its prefix hashes are made from `blocks`. */
  readonly request: InferenceRequest;
  /** When the client means to send it, milliseconds from the start. Latencies count from here. */
  readonly arrivalMs: number;
  /** Tokens that it will generate; the router does not know. */
  readonly outputTokens: number;
  /** Chained ids of the prompt's blocks of `blockTokens` tokens. */
  readonly blocks: Int32Array;
  /** Which closed-loop session it belongs to; undefined in open-loop workloads. */
  readonly session: number | undefined;
}

/** Tokens per KV block in every trace here; the granularity of Mooncake's hashes. */
export const blockTokens = 512;

/**
 * A stream of requests. Open-loop workloads fix all arrivals in advance; closed-loop ones answer each end with
 * the session's next request.
 */
export interface RequestSource {
  /** Known in advance, in order of arrival. */
  readonly arrivals: readonly WorkloadRequest[];
  /** The session's next request, or undefined when the session (or the workload) is over. */
  readonly next?: (finished: WorkloadRequest, nowMs: number) => WorkloadRequest | undefined;
}

export interface WorkloadOptions {
  readonly seed: number;
  /** 1 is the capacity of the reference policy at this many pods; ladders multiply their rates by it. */
  readonly load: number;
  readonly pods: number;
  readonly model: EngineModel;
  /** Requests per second; overrides `load`. */
  readonly requestsPerSecond: number | undefined;
  /** Keeps only this leading share of the requests, for short runs. */
  readonly share: number;
}

export interface Workload {
  readonly name: string;
  /** One line for people. */
  readonly description: string;
  readonly pods: number;
  readonly preset: EnginePresetName;
  /** Share of requests, by arrival, that statistics leave out. */
  readonly warmShare: number;
  /** What goes wrong while it runs, for this many pods. */
  readonly faults?: (pods: number, durationMs: number) => readonly Fault[];
  readonly create: (options: WorkloadOptions) => RequestSource;
}
