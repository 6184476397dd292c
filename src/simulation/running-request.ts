import type { WorkloadRequest } from './workload.ts';

/** How a request ended for its client. */
export type Ending = 'completed' | 'rejected' | 'failed';

/** One request's life in one run. Written by the engine and the simulation, read by the statistics. */
export class RunningRequest {
  readonly source: WorkloadRequest;
  /** Its number in order of arrival. */
  readonly order: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly blocks: Int32Array;

  /** Index of the engine that it was last sent to; undefined while the router holds it. */
  engine: number | undefined = undefined;
  /** When the router sent it to an engine. */
  dispatchedMs: number | undefined = undefined;
  admittedMs: number | undefined = undefined;
  firstTokenMs: number | undefined = undefined;
  endedMs: number | undefined = undefined;
  ending: Ending | undefined = undefined;
  /** Prompt tokens found in the cache when first admitted. */
  cachedTokens = 0;
  /** What the router believed was cached there when it sent it. */
  predictedCachedTokens = 0;
  preemptions = 0;
  /** Prefilled on another engine than it decodes on, and what that one found in its cache. */
  isSplit = false;
  prefilledCachedTokens = 0;

  /** Tokens generated so far, as of the last time it left the decode batch. */
  generatedTokens = 0;
  /** Tokens still to prefill (after preemption: to recompute), and those already in context. */
  prefillLeftTokens = 0;
  contextTokens = 0;
  /** The engine's decode step at whose end it is complete. */
  finishStep = 0;
  /** Order of admission on its engine; the youngest is preempted first. */
  admission = 0;

  constructor(source: WorkloadRequest, order: number) {
    this.source = source;
    this.order = order;
    this.promptTokens = source.request.promptTokens;
    this.outputTokens = source.outputTokens;
    this.blocks = source.blocks;
  }
}
