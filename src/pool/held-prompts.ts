import { IdColumn, PairTable } from '../prefix-index/pair-table.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';

/** Blocks are counted in runs of about this many tokens, which bounds the cost for small blocks. */
const runTokens = 512;

/** What the prompts on one endpoint hold; `HeldPrompts` keeps the sums. */
export interface PromptTokens {
  /** Never given twice, unlike slots. */
  readonly serial: number;
  /** A prefix that several requests share counts once. */
  all: number;
  /** Of these, what one request holds alone: its end gives them back. */
  alone: number;
}

/** What one request holds. */
export interface HeldRuns {
  readonly ids: readonly number[];
  /** Of each run. */
  readonly tokens: number;
  /** After the last whole run. */
  readonly tail: number;
}

/**
 * KV memory that the prompts of our running requests hold on each endpoint: a prefix that several of them share
 * is there once. A hash stands for all blocks before it, so the last block of a run stands for the run.
 */
export class HeldPrompts {
  readonly #runs = new PairTable();
  readonly #holders = new IdColumn();

  /** O(tokens / 512). Returns the runs that it holds, for `remove`. */
  add(held: PromptTokens, prefix: PrefixHashes, promptTokens: number): HeldRuns {
    const stride = strideOf(prefix);
    const tokens = stride * prefix.blockTokens;
    const tail = tailTokens(prefix, stride, promptTokens);
    held.all += tail;
    held.alone += tail;
    const ids: number[] = [];
    let id = 0;
    for (let i = stride - 1; i < prefix.count; i += stride) {
      const first = firstOf(held.serial, prefix, i);
      const second = secondOf(held.serial, prefix, i);
      id = this.#runs.find(first, second, id + 1);
      if (id === 0) {
        id = this.#runs.add(first, second);
        this.#holders.reach(id);
        this.#holders.set(id, 1);
        held.all += tokens;
        held.alone += tokens;
      } else {
        const holders = this.#holders.get(id) + 1;
        this.#holders.set(id, holders);
        if (holders === 2) held.alone -= tokens;
      }
      ids.push(id);
    }
    return { ids, tokens, tail };
  }

  /** What `add` has returned, once. From the tail, so that the next prompt gets ids in its order. */
  remove(held: PromptTokens, { ids, tokens, tail }: HeldRuns): void {
    held.all -= tail;
    held.alone -= tail;
    for (let i = ids.length - 1; i >= 0; i--) {
      const id = ids[i]!;
      const holders = this.#holders.get(id) - 1;
      this.#holders.set(id, holders);
      if (holders === 1) held.alone += tokens;
      if (holders > 0) continue;
      this.#runs.remove(id);
      held.all -= tokens;
      held.alone -= tokens;
    }
  }

  /** Leading tokens of the prompt that others hold there. What is held is held from the root on: O(log blocks). */
  shared({ serial }: Pick<PromptTokens, 'serial'>, prefix: PrefixHashes): number {
    const stride = strideOf(prefix);
    let held = 0;
    let open = Math.floor(prefix.count / stride);
    while (held < open) {
      const middle = (held + open) >> 1;
      const at = (middle + 1) * stride - 1;
      if (this.#runs.find(firstOf(serial, prefix, at), secondOf(serial, prefix, at), 0) === 0) open = middle;
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

/** The block on this endpoint, in two words. */
function firstOf(serial: number, { low }: PrefixHashes, i: number): number {
  return low[i]! ^ Math.imul(serial + 1, 0x9e3779b1);
}

function secondOf(serial: number, { high }: PrefixHashes, i: number): number {
  return (high[i]! + serial) | 0;
}
