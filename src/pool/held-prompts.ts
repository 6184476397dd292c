import { IdColumn, PairTable } from '../prefix-index/pair-table.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';

/** Blocks are counted in runs of about this many tokens, which bounds the cost for small blocks. */
const runTokens = 512;

/**
 * KV memory that the prompts of our running requests hold on each endpoint: a prefix that several of them share
 * is there once. A hash stands for all blocks before it, so the last block of a run stands for the run.
 */
export class HeldPrompts {
  readonly #runs = new PairTable();
  readonly #holders = new IdColumn();

  /** `owner` is the endpoint's serial number. Returns the tokens that this request holds alone, as the first to do so. O(tokens / 512). */
  add(owner: number, prefix: PrefixHashes, promptTokens: number): number {
    const stride = strideOf(prefix);
    let alone = tailTokens(prefix, stride, promptTokens);
    for (let i = stride - 1; i < prefix.count; i += stride) {
      const [first, second] = keyOf(owner, prefix, i);
      let id = this.#runs.find(first, second, 0);
      if (id === 0) {
        id = this.#runs.add(first, second);
        this.#holders.reach(id);
        this.#holders.set(id, 0);
        alone += stride * prefix.blockTokens;
      }
      this.#holders.set(id, this.#holders.get(id) + 1);
    }
    return alone;
  }

  /** Of a request that was added there. Returns the tokens that nobody else holds. */
  remove(owner: number, prefix: PrefixHashes, promptTokens: number): number {
    const stride = strideOf(prefix);
    let alone = tailTokens(prefix, stride, promptTokens);
    for (let i = stride - 1; i < prefix.count; i += stride) {
      const [first, second] = keyOf(owner, prefix, i);
      const id = this.#runs.find(first, second, 0);
      const left = this.#holders.get(id) - 1;
      this.#holders.set(id, left);
      if (left > 0) continue;
      this.#runs.remove(id);
      alone += stride * prefix.blockTokens;
    }
    return alone;
  }

  /** Leading tokens of the prompt that others hold there. What is held is held from the root on: O(log blocks). */
  shared(owner: number, prefix: PrefixHashes): number {
    const stride = strideOf(prefix);
    let held = 0;
    let open = Math.floor(prefix.count / stride);
    while (held < open) {
      const middle = (held + open) >> 1;
      const [first, second] = keyOf(owner, prefix, (middle + 1) * stride - 1);
      if (this.#runs.find(first, second, 0) === 0) open = middle;
      else held = middle + 1;
    }
    return held * stride * prefix.blockTokens;
  }
}

function strideOf({ blockTokens }: PrefixHashes): number {
  return Math.max(1, Math.round(runTokens / blockTokens));
}

/** What comes after the last whole run. */
function tailTokens({ count, blockTokens }: PrefixHashes, stride: number, promptTokens: number): number {
  return Math.max(0, promptTokens - Math.floor(count / stride) * stride * blockTokens);
}

/** The block on this endpoint: both words are unsigned. */
function keyOf(owner: number, { low, high }: PrefixHashes, i: number): readonly [number, number] {
  return [(low[i]! ^ Math.imul(owner + 1, 0x9e3779b1)) >>> 0, (high[i]! + owner) >>> 0];
}
