import { digestBytes, digestWords } from './block-hash.ts';

/** The KV blocks of one sequence in token order. Written only by the block manager. */
export class BlockTable {
  /** `[length]` block ids; may be longer. */
  blocks = new Int32Array(8);
  length = 0;
  /** How many leading blocks are registered for reuse. */
  committed = 0;
  /** How many leading blocks the model's own block tables have. */
  sent = 0;
  /** How many leading full blocks have a digest in `digestsAsBytes`. Survives preemption: tokens stay. */
  hashed = 0;
  /** `[hashed, digestWords]` and the same memory as bytes; may be longer. */
  digestsAsWords = new Int32Array(8 * digestWords);
  digestsAsBytes = Buffer.from(this.digestsAsWords.buffer);

  push(block: number): void {
    if (this.length === this.blocks.length) this.blocks = grown(this.blocks, this.length * 2);
    this.blocks[this.length++] = block;
  }

  /** `digest`: one character per byte. */
  pushDigest(digest: string): void {
    if ((this.hashed + 1) * digestWords > this.digestsAsWords.length) {
      this.digestsAsWords = grown(this.digestsAsWords, this.digestsAsWords.length * 2);
      this.digestsAsBytes = Buffer.from(this.digestsAsWords.buffer);
    }
    this.digestsAsBytes.write(digest, this.hashed++ * digestBytes, 'latin1');
  }

  /** A view of the digest of block `index`. */
  digest(index: number): Buffer {
    return this.digestsAsBytes.subarray(index * digestBytes, (index + 1) * digestBytes);
  }
}

/** Anything that has tokens and KV blocks for them. */
export interface BlockHolder {
  /** `[length]`, may be longer. */
  readonly tokens: Int32Array;
  readonly length: number;
  /** How many leading tokens have their K and V in the blocks. */
  readonly computed: number;
  /** Keys that separate equal tokens from each other (adapter, cache salt); part of the first block's hash. */
  readonly extraKeys: readonly string[] | undefined;
  /** Of these, the one that is part of every block's hash, as in vLLM. */
  readonly adapterKey?: string | undefined;
  /** This token and those after it are computed, whatever is cached. Absent: the last one. */
  readonly firstNeeded?: number;
  readonly table: BlockTable;
}

function grown(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(length);
  longer.set(array);
  return longer;
}
