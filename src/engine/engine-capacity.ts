import type { EngineCoreOptions } from './engine-core-options.ts';

/** Throws unless a sequence of full length fits into the KV cache, and what runs together into a step. */
export function assertCapacity(options: EngineCoreOptions): void {
  const { blocks, blockSize, maxModelLen, maxNumBatchedTokens, maxNumSeqs, hasChunkedPrefill } = options;
  if (blocks * blockSize < maxModelLen)
    throw new Error(
      `the KV cache holds ${blocks * blockSize} tokens, less than one sequence of --max-model-len ${maxModelLen}: ` +
        'lower --max-model-len or give the KV cache more memory',
    );
  if (maxNumBatchedTokens < maxNumSeqs)
    throw new Error(
      `--max-num-batched-tokens (${maxNumBatchedTokens}) must be at least --max-num-seqs (${maxNumSeqs})`,
    );
  if (!hasChunkedPrefill && maxNumBatchedTokens < maxModelLen)
    throw new Error(
      `--max-num-batched-tokens (${maxNumBatchedTokens}) must be at least --max-model-len (${maxModelLen}) ` +
        'when chunked prefill is off',
    );
}
