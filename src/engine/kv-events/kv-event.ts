/**
 * What happens to cached KV blocks, as data. The block manager collects these when asked to; a publisher
 * drains them and owns the wire format (vLLM `distributed/kv_events.py`).
 */

export interface BlockStored {
  readonly type: 'BlockStored';
  /** Digests of consecutive blocks of one chain, 32 bytes each. */
  readonly blockHashes: readonly Uint8Array[];
  /** Digest of the block before the first; absent at the start of a chain. */
  readonly parentBlockHash: Uint8Array | undefined;
  /** Tokens of all the listed blocks: `blockHashes.length * blockSize`. */
  readonly tokenIds: Int32Array;
  readonly blockSize: number;
  /** Extra hash keys (adapter, cache salt) of the first listed block. */
  readonly extraKeys: readonly string[] | undefined;
  /** The adapter's key, which is one of every listed block. */
  readonly adapterKey?: string | undefined;
}

export interface BlockRemoved {
  readonly type: 'BlockRemoved';
  readonly blockHashes: readonly Uint8Array[];
}

export interface AllBlocksCleared {
  readonly type: 'AllBlocksCleared';
}

export type KvEvent = BlockStored | BlockRemoved | AllBlocksCleared;
