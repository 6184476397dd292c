import { BlockHasher, digestWords } from './block-hash.ts';
import { type BlockLife, BlockLives, type BlockLivesOptions } from './block-lives.ts';
import { BlockPool } from './block-pool.ts';
import type { BlockHolder, BlockTable } from './block-table.ts';
import type { KvEvent } from './kv-events/kv-event.ts';
import { PrefixTable } from './prefix-table.ts';

export interface BlockManagerOptions {
  readonly blocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly hasPrefixCaching: boolean;
  /** A sequence takes one run of adjacent blocks, once, and shares none. Not with prefix caching. */
  readonly isContiguous?: boolean;
  /** Parent digest of every chain; see `rootDigest`. */
  readonly root: Uint8Array;
  /** Collect KV events until somebody drains them. */
  readonly collectsEvents?: boolean;
  /** Watch how long cached blocks stay. */
  readonly lives?: BlockLivesOptions | undefined;
}

/** Blocks that lead a sequence's tokens and are computed already. Valid until the next call of the manager. */
export interface SharedBlocks {
  readonly blocks: Int32Array;
  readonly count: number;
}

/**
 * Owns all KV blocks: who holds which, which are cached, which is reused next.
 *
 * A block is registered for reuse once it is full and computed. There is one block per digest: a sequence that
 * has computed the same content in a block of its own swaps to the registered one. Blocks of a chain are freed
 * last first, so the least recently used end goes first and what stays cached is always a whole prefix.
 */
export class BlockManager {
  readonly blockSize: number;
  readonly #pool: BlockPool;
  readonly #prefixes: PrefixTable;
  readonly #hasher: BlockHasher;
  readonly #root: Uint8Array;
  readonly #hasPrefixCaching: boolean;
  readonly #isContiguous: boolean;
  readonly #collectsEvents: boolean;
  readonly #lives: BlockLives | undefined;
  /** Tables that hold at least one block. */
  readonly #tables = new Set<BlockTable>();
  #matched = new Int32Array(64);
  #events: KvEvent[] = [];

  constructor(options: BlockManagerOptions) {
    this.blockSize = options.blockSize;
    this.#pool = new BlockPool(options.blocks);
    this.#prefixes = new PrefixTable(options.blocks);
    this.#hasher = new BlockHasher(options.blockSize);
    this.#root = options.root;
    this.#hasPrefixCaching = options.hasPrefixCaching;
    this.#isContiguous = options.isContiguous ?? false;
    this.#collectsEvents = options.collectsEvents ?? false;
    this.#lives = options.lives && new BlockLives(options.lives);
    if (this.#isContiguous && this.#hasPrefixCaching)
      throw new Error('block manager: contiguous blocks cannot be shared, so prefixes cannot be cached');
  }

  get blocks(): number {
    return this.#pool.blocks;
  }

  /** Blocks that can be handed out, cached ones included. */
  get freeBlocks(): number {
    return this.#pool.free;
  }

  /** Blocks that can be found by a prefix. */
  get cachedBlocks(): number {
    return this.#prefixes.size;
  }

  /** Part of the blocks that running sequences hold, 0–1. */
  get usage(): number {
    return 1 - this.#pool.free / this.#pool.blocks;
  }

  /**
   * The longest run of computed blocks that the holder can share. It stops short of the first token that must be
   * computed anyway for its logits. With a leader that runs and has the same
   * first `commonTokens` tokens, its full blocks are shared when prefix caching is off; else those are that are
   * committed, which the lookup finds: blocks of a step in flight may still be swapped for others.
   */
  match(holder: BlockHolder, leader?: BlockHolder, commonTokens = 0): SharedBlocks {
    const limit = Math.floor((holder.firstNeeded ?? holder.length - 1) / this.blockSize);
    if (this.#matched.length < limit) this.#matched = new Int32Array(2 * limit);
    let count = 0;
    if (this.#hasPrefixCaching) {
      for (; count < limit; count++) {
        this.#hash(holder, count + 1);
        const block = this.#prefixes.find(holder.table.digestsAsWords, count * digestWords);
        if (block === undefined) break;
        this.#matched[count] = block;
      }
    }
    if (leader !== undefined && !this.#hasPrefixCaching && !this.#isContiguous) {
      const computed = Math.min(leader.computed, leader.table.length * this.blockSize, commonTokens);
      const own = Math.min(limit, Math.floor(computed / this.blockSize));
      for (; count < own; count++) this.#matched[count] = leader.table.blocks[count]!;
    }
    return { blocks: this.#matched, count };
  }

  /** Blocks that leave the free list when `holder` is given room for its first `tokens` tokens. */
  needed(holder: BlockHolder, tokens: number, shared?: SharedBlocks): number {
    let needed = Math.ceil(tokens / this.blockSize) - holder.table.length;
    for (let i = 0; i < (shared?.count ?? 0); i++) if (this.#pool.isReferenced(shared!.blocks[i]!)) needed--;
    return Math.max(0, needed);
  }

  /**
   * Gives the holder room for its first `tokens` tokens; `shared` blocks become the head of an empty table.
   * All or nothing: false, and no change, if there are not enough free blocks.
   */
  allocate(holder: BlockHolder, tokens: number, shared?: SharedBlocks): boolean {
    if (this.needed(holder, tokens, shared) > this.#pool.free) return false;
    const { table } = holder;
    if (this.#isContiguous && table.length === 0) return this.#allocateRun(table, tokens);
    if (shared !== undefined && shared.count > 0) {
      for (let i = 0; i < shared.count; i++) {
        this.#pool.retain(shared.blocks[i]!);
        this.#lives?.use(shared.blocks[i]!);
        table.push(shared.blocks[i]!);
      }
      if (this.#hasPrefixCaching) table.committed = shared.count;
    }
    for (let length = Math.ceil(tokens / this.blockSize); table.length < length; )
      table.push(this.#acquire());
    if (table.length > 0) this.#tables.add(table);
    return true;
  }

  /** Whether there are enough free blocks for that many tokens, but not next to each other where they must be. */
  isFragmentedFor(tokens: number): boolean {
    const count = Math.ceil(tokens / this.blockSize);
    return this.#isContiguous && count <= this.#pool.free && this.#pool.findRun(count) === undefined;
  }

  /** Registers the full blocks among the holder's first `computed` tokens for reuse; the tokens are known. */
  commit(holder: BlockHolder, computed: number): void {
    if (!this.#hasPrefixCaching) return;
    const { table } = holder;
    const full = Math.floor(computed / this.blockSize);
    let firstStored = table.committed;
    for (; table.committed < full; table.committed++) {
      const index = table.committed;
      this.#hash(holder, index + 1);
      const own = table.blocks[index]!;
      const known = this.#prefixes.find(table.digestsAsWords, index * digestWords);
      if (known === undefined) {
        this.#prefixes.insert(own, table.digestsAsWords, index * digestWords);
        continue;
      }
      this.#recordStored(holder, firstStored, index);
      firstStored = index + 1;
      if (known === own) continue;
      this.#pool.retain(known);
      table.blocks[index] = known;
      table.sent = Math.min(table.sent, index);
      this.#pool.release(own, 'reuse');
    }
    this.#recordStored(holder, firstStored, full);
  }

  /** Takes all blocks back; what is registered stays findable until its block is handed out again. */
  free(holder: BlockHolder): void {
    const { table } = holder;
    for (let i = table.length - 1; i >= 0; i--) {
      const block = table.blocks[i]!;
      this.#pool.release(block, this.#prefixes.has(block) ? 'keep' : 'reuse');
    }
    table.length = 0;
    table.committed = 0;
    table.sent = 0;
    this.#tables.delete(table);
  }

  /** Forgets every cached prefix. Refused, with false, while sequences hold blocks. */
  clearPrefixes(): boolean {
    if (this.#tables.size > 0) return false;
    this.#prefixes.clear();
    if (this.#collectsEvents) this.#events.push({ type: 'AllBlocksCleared' });
    return true;
  }

  /** The events since the last call, oldest first. */
  drainEvents(): readonly KvEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Stays of cached blocks that have ended since the last call; none unless they are watched. */
  drainLives(): readonly BlockLife[] {
    return this.#lives?.drain() ?? [];
  }

  /** Throws unless every block is accounted for exactly once, by tables, free list and prefix table alike. */
  checkIntegrity(): void {
    const references = new Int32Array(this.blocks);
    for (const table of this.#tables) {
      for (let i = 0; i < table.length; i++) references[table.blocks[i]!]!++;
      for (let i = 0; i < table.committed; i++) {
        const known = this.#prefixes.find(table.digestsAsWords, i * digestWords);
        if (known !== table.blocks[i])
          throw new Error(`block manager: committed block ${table.blocks[i]} is registered as ${known}`);
      }
    }
    this.#pool.checkIntegrity(references);
    this.#prefixes.checkIntegrity();
  }

  #allocateRun(table: BlockTable, tokens: number): boolean {
    const count = Math.ceil(tokens / this.blockSize);
    const first = this.#pool.findRun(count);
    if (first === undefined) return false;
    for (let block = first; block < first + count; block++) {
      this.#pool.retain(block);
      table.push(block);
    }
    this.#tables.add(table);
    return true;
  }

  #acquire(): number {
    const block = this.#pool.acquire();
    if (this.#prefixes.has(block)) {
      if (this.#collectsEvents)
        this.#events.push({ type: 'BlockRemoved', blockHashes: [this.#prefixes.digest(block)] });
      this.#prefixes.remove(block);
      this.#lives?.evict(block);
    }
    this.#lives?.acquire(block);
    return block;
  }

  /** Completes the holder's digests up to `blocks` full blocks. */
  #hash(holder: BlockHolder, blocks: number): void {
    const { table } = holder;
    while (table.hashed < blocks) {
      const index = table.hashed;
      const parent = index === 0 ? this.#root : table.digest(index - 1);
      const extra = index === 0 ? holder.extraKeys : laterKeys(holder);
      table.pushDigest(this.#hasher.digest(parent, holder.tokens, index * this.blockSize, extra));
    }
  }

  #recordStored(holder: BlockHolder, first: number, end: number): void {
    if (!this.#collectsEvents || first >= end) return;
    const { table } = holder;
    this.#events.push({
      type: 'BlockStored',
      blockHashes: Array.from({ length: end - first }, (_, i) => Uint8Array.from(table.digest(first + i))),
      parentBlockHash: first === 0 ? undefined : Uint8Array.from(table.digest(first - 1)),
      tokenIds: holder.tokens.slice(first * this.blockSize, end * this.blockSize),
      blockSize: this.blockSize,
      extraKeys: first === 0 ? holder.extraKeys : laterKeys(holder),
      adapterKey: holder.adapterKey,
    });
  }
}

/** Keys of every block but the first. */
function laterKeys({ adapterKey }: BlockHolder): readonly string[] | undefined {
  return adapterKey === undefined ? undefined : [adapterKey];
}
