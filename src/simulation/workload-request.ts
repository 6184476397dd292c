import type { InferenceRequest, PrefixHashes, Slo } from '../scheduling/inference-request.ts';
import { mix32 } from './random.ts';
import { blockTokens, type WorkloadRequest } from './workload.ts';

export interface WorkloadRequestFields {
  readonly id: string;
  readonly arrivalMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** One id per block of `blockTokens` prompt tokens, the last for what is left over. */
  readonly blocks: Int32Array;
  readonly tenant?: string;
  readonly priority?: number;
  readonly slo?: Slo;
  readonly session?: number;
}

const noHeaders: ReadonlyMap<string, string> = new Map();
const noSlo: Slo = Object.freeze({ ttftMs: undefined, tpotMs: undefined });

/** The name under which simulated engines serve. */
export const simulatedModel = 'simulated';

export function workloadRequest(fields: WorkloadRequestFields): WorkloadRequest {
  const { id, arrivalMs, promptTokens, outputTokens, blocks, tenant, priority, slo, session } = fields;
  const expectedBlocks = Math.ceil(promptTokens / blockTokens);
  if (blocks.length !== expectedBlocks) {
    throw new Error(
      `request ${id}: ${promptTokens} tokens need ${expectedBlocks} blocks, got ${blocks.length}`,
    );
  }
  const request: InferenceRequest = {
    id,
    model: simulatedModel,
    requestedModel: simulatedModel,
    priority: priority ?? 0,
    tenant: tenant ?? 'default',
    headers: noHeaders,
    promptTokens,
    bodyBytes: 4 * promptTokens,
    prefix: prefixOfBlocks(blocks),
    isStreaming: true,
    slo: slo ?? noSlo,
  };
  return { request, arrivalMs, outputTokens, blocks, session };
}

/** Block ids are chained already, so spreading their bits makes hashes of the product's shape. */
function prefixOfBlocks(blocks: Int32Array): PrefixHashes {
  const low = new Uint32Array(blocks.length);
  const high = new Uint32Array(blocks.length);
  for (let i = 0; i < blocks.length; i++) {
    low[i] = lowHashOfBlock(blocks[i]!);
    high[i] = mix32(blocks[i]! ^ 0x5bd1e995);
  }
  return { count: blocks.length, low, high, blockTokens };
}

/** A bijection: two blocks never share it. */
export function lowHashOfBlock(block: number): number {
  return mix32(block + 1) >>> 0;
}
