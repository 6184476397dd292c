import type { BlockStored, KvEvent } from './kv-event.ts';
import type { KvEventsConfig } from './kv-events-config.ts';
import { MessagePackWriter } from './message-pack.ts';

/** Where the blocks are: vLLM writes this for the memory that the model computes in, whatever device it is. */
const medium = 'GPU';
const dataParallelRank = 0;

/**
 * One batch in vLLM's wire format (`vllm/distributed/kv_events.py`): `[timestamp, events, rank]`. As an array an
 * event is `[tag, field…]` with trailing defaults left out; as a map, `type` and the fields by name.
 *
 *   BlockStored   block_hashes parent_block_hash token_ids block_size lora_id medium [lora_name extra_keys]
 *   BlockRemoved  block_hashes medium
 *   AllBlocksCleared
 */
export class EventEncoder {
  readonly #encoding: KvEventsConfig['encoding'];
  readonly #hashes: KvEventsConfig['hashes'];
  readonly #out = new MessagePackWriter();

  constructor({ encoding, hashes }: Pick<KvEventsConfig, 'encoding' | 'hashes'>) {
    this.#encoding = encoding;
    this.#hashes = hashes;
  }

  /** `nowMs`: milliseconds since 1970. */
  encode(events: readonly KvEvent[], nowMs: number): Buffer {
    this.#out
      .arrayHead(3)
      .float64(nowMs / 1000)
      .arrayHead(events.length);
    for (const event of events) this.#event(event);
    return this.#out.unsigned(dataParallelRank).take();
  }

  #event(event: KvEvent): void {
    switch (event.type) {
      case 'BlockStored':
        this.#stored(event);
        break;
      case 'BlockRemoved':
        this.#head(event.type, 2);
        this.#key('block_hashes').#hashList(event.blockHashes);
        this.#key('medium').#out.text(medium);
        if (this.#encoding === 'map') this.#key('group_idx').#out.unsigned(0);
        break;
      case 'AllBlocksCleared':
        this.#head(event.type, 0);
        break;
    }
  }

  #stored(event: BlockStored): void {
    const out = this.#out;
    const hasExtraKeys = event.extraKeys !== undefined;
    this.#head(event.type, hasExtraKeys ? 8 : 6);
    this.#key('block_hashes').#hashList(event.blockHashes);
    this.#key('parent_block_hash');
    if (event.parentBlockHash === undefined) out.nil();
    else this.#hash(event.parentBlockHash);
    this.#key('token_ids').#out.arrayHead(event.tokenIds.length);
    for (const tokenId of event.tokenIds) out.unsigned(tokenId);
    this.#key('block_size').#out.unsigned(event.blockSize);
    this.#key('lora_id').#out.nil();
    this.#key('medium').#out.text(medium);
    if (event.extraKeys !== undefined) {
      this.#key('lora_name');
      if (event.adapterKey === undefined) out.nil();
      else out.text(event.adapterKey);
      this.#key('extra_keys').#extraKeys(event.extraKeys, event);
    }
    if (this.#encoding === 'map') {
      this.#key('group_idx').#out.unsigned(0);
      this.#key('kv_cache_spec_kind').#out.text('full_attention');
    }
  }

  /** One entry per block; those after the first have the adapter's key alone. */
  #extraKeys(extraKeys: readonly string[], { blockHashes, adapterKey }: BlockStored): void {
    const out = this.#out;
    out.arrayHead(blockHashes.length).arrayHead(extraKeys.length);
    for (const key of extraKeys) out.text(key);
    for (let block = 1; block < blockHashes.length; block++)
      if (adapterKey === undefined) out.nil();
      else out.arrayHead(1).text(adapterKey);
  }

  /** A map also tells the group of its blocks: `group_idx`, and for stored ones what kind of cache it is. */
  #head(type: KvEvent['type'], fields: number): void {
    if (this.#encoding === 'array') {
      this.#out.arrayHead(1 + fields).text(type);
      return;
    }
    const ofGroup = { BlockStored: 2, BlockRemoved: 1, AllBlocksCleared: 0 }[type];
    this.#out
      .mapHead(1 + fields + ofGroup)
      .text('type')
      .text(type);
  }

  #key(name: string): this {
    if (this.#encoding === 'map') this.#out.text(name);
    return this;
  }

  #hashList(hashes: readonly Uint8Array[]): void {
    this.#out.arrayHead(hashes.length);
    for (const hash of hashes) this.#hash(hash);
  }

  #hash(digest: Uint8Array): void {
    if (this.#hashes === 'bytes') {
      this.#out.bytes(digest);
      return;
    }
    const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
    this.#out.unsigned64(view.getUint32(digest.length - 8), view.getUint32(digest.length - 4));
  }
}
