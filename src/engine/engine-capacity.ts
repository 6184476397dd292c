import type { EngineCoreOptions } from './engine-core.ts';

/** Throws unless a sequence of full length fits into the KV cache, and what runs together into a step. */
export function assertCapacity(options: EngineCoreOptions): void {
  const { blocks, blockSize, maxModelLen, maxNumBatchedTokens, maxNumSeqs, hasChunkedPrefill } = options;
  if (blocks * blockSize < maxModelLen)
    throw new Error(
      `the KV cache holds ${blocks * blockSize} tokens, less than one sequence of max_model_len ${maxModelLen}: ` +
        'lower max_model_len or give the KV cache more memory',
    );
  if (maxNumBatchedTokens < maxNumSeqs)
    throw new Error(
      `max_num_batched_tokens (${maxNumBatchedTokens}) must be at least max_num_seqs (${maxNumSeqs})`,
    );
  if (!hasChunkedPrefill && maxNumBatchedTokens < maxModelLen)
    throw new Error(
      `max_num_batched_tokens (${maxNumBatchedTokens}) must be at least max_model_len (${maxModelLen}) ` +
        'when chunked prefill is off',
    );
}
