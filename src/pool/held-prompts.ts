import { IdColumn, PairTable } from '../prefix-index/pair-table.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';
import { FadingSum } from './fading-sum.ts';

/** Blocks are counted in runs of about this many tokens, which bounds the cost for small blocks. */
const runTokens = 512;

/** What a prompt has left is counted for so long: the next turn of an agent mostly comes as soon as it has the answer. */
const leftMs = 200;
/** Over how long it is seen whether most of that is taken up again. */
const seenMs = 60_000;

/** What the prompts on one endpoint hold; `HeldPrompts` keeps the sums. */
export interface PromptTokens {
  /** Never given twice, unlike slots. */
  readonly serial: number;
  /** A prefix that several requests share counts once. */
  all: number;
  /** Of these, what one request holds alone: its end gives them back. */
  alone: number;
  /** What requests that have just ended held last, and nobody has taken up since. */
  left: number;
}

/** What one request holds. */
export interface HeldRuns {
  readonly ids: readonly number[];
  /** Of each run. */
  readonly tokens: number;
  /** After the last whole run. */
  readonly tail: number;
}

/** A prompt whose request has ended. */
interface LeftPrompt {
  readonly held: PromptTokens;
  readonly runs: HeldRuns;
  readonly untilMs: number;
}

/**
 * KV memory that the prompts of our running requests hold on each endpoint: a prefix that several of them share
 * is there once. A hash stands for all blocks before it, so the last block of a run stands for the run.
 *
 * What a request leaves is remembered for a moment, as the engine still has it and its conversation may go on at once.
 */
export class HeldPrompts {
  readonly #runs = new PairTable();
  /** Running requests that hold a run, and those that have left it. A run is known while it has any of them. */
  readonly #holders = new IdColumn();
  readonly #leavers = new IdColumn();
  /** In the order of their ends; those before `#firstLeft` are over. */
  #leftPrompts: LeftPrompt[] = [];
  #firstLeft = 0;
  /** Of what was left: taken up again in time, and not. */
  readonly #takenTokens = new FadingSum(seenMs);
  readonly #forgottenTokens = new FadingSum(seenMs);

  /** O(tokens / 512). Returns the runs that it holds, for `leave`. */
  add(held: PromptTokens, prefix: PrefixHashes, promptTokens: number, nowMs: number): HeldRuns {
    this.#settle(nowMs);
    const stride = strideOf(prefix);
    const tokens = stride * prefix.blockTokens;
    const tail = tailTokens(prefix, stride, promptTokens);
    held.all += tail;
    held.alone += tail;
    const ids: number[] = [];
    let taken = 0;
    let id = 0;
    for (let i = stride - 1; i < prefix.count; i += stride) {
      const first = firstOf(held.serial, prefix, i);
      const second = secondOf(held.serial, prefix, i);
      id = this.#runs.find(first, second, id + 1);
      if (id === 0) {
        id = this.#runs.add(first, second);
        this.#holders.reach(id);
        this.#leavers.reach(id);
        this.#holders.set(id, 0);
        this.#leavers.set(id, 0);
      }
      const holders = this.#holders.get(id) + 1;
      this.#holders.set(id, holders);
      if (holders === 1) {
        held.all += tokens;
        held.alone += tokens;
        if (this.#leavers.get(id) > 0) taken += tokens;
      } else if (holders === 2) held.alone -= tokens;
      ids.push(id);
    }
    held.left -= taken;
    if (taken > 0) this.#takenTokens.add(taken, nowMs);
    return { ids, tokens, tail };
  }

  /** What `add` has returned, once, when the request has ended. */
  leave(held: PromptTokens, runs: HeldRuns, nowMs: number): void {
    this.#settle(nowMs);
    const { ids, tokens, tail } = runs;
    held.all -= tail;
    held.alone -= tail;
    let left = 0;
    for (const id of ids) {
      const holders = this.#holders.get(id) - 1;
      this.#holders.set(id, holders);
      this.#leavers.set(id, this.#leavers.get(id) + 1);
      if (holders === 1) held.alone += tokens;
      else if (holders === 0) left += tokens;
    }
    held.all -= left;
    held.alone -= left;
    held.left += left;
    if (ids.length > 0) this.#leftPrompts.push({ held, runs, untilMs: nowMs + leftMs });
  }

  /** What is left on an endpoint and counts as held: all, where most of what was left lately was taken up in time. */
  awaitedTokens(held: PromptTokens, nowMs: number): number {
    this.#settle(nowMs);
    return this.#isAwaited(nowMs) ? held.left : 0;
  }

  #isAwaited(nowMs: number): boolean {
    return this.#takenTokens.at(nowMs) > this.#forgottenTokens.at(nowMs);
  }

  /** Leading tokens of the prompt that running requests hold there. */
  shared(held: Pick<PromptTokens, 'serial'>, prefix: PrefixHashes): number {
    return this.#leading(held, prefix, (id) => this.#holders.get(id) > 0);
  }

  /** The same with what is left there, if it counts as held. */
  sharedOrAwaited(held: Pick<PromptTokens, 'serial'>, prefix: PrefixHashes, nowMs: number): number {
    return this.#isAwaited(nowMs) ? this.#leading(held, prefix, () => true) : this.shared(held, prefix);
  }

  /** What is held is held from the root on, and so is what is held or left: O(log blocks). */
  #leading(
    { serial }: Pick<PromptTokens, 'serial'>,
    prefix: PrefixHashes,
    counts: (id: number) => boolean,
  ): number {
    const stride = strideOf(prefix);
    let held = 0;
    let open = Math.floor(prefix.count / stride);
    while (held < open) {
      const middle = (held + open) >> 1;
      const at = (middle + 1) * stride - 1;
      const id = this.#runs.find(firstOf(serial, prefix, at), secondOf(serial, prefix, at), 0);
      if (id === 0 || !counts(id)) open = middle;
      else held = middle + 1;
    }
    return held * stride * prefix.blockTokens;
  }

  /** Forgets what was left too long ago. */
  #settle(nowMs: number): void {
    for (; ; this.#firstLeft++) {
      const next = this.#leftPrompts[this.#firstLeft];
      if (next === undefined || next.untilMs > nowMs) break;
      this.#forgottenTokens.add(this.#forget(next), next.untilMs);
    }
    if (this.#firstLeft > 64 && 2 * this.#firstLeft > this.#leftPrompts.length) {
      this.#leftPrompts = this.#leftPrompts.slice(this.#firstLeft);
      this.#firstLeft = 0;
    }
  }

  /** From the tail, so that the next prompt gets ids in its order. Returns the tokens that nobody has taken up. */
  #forget({ held, runs: { ids, tokens } }: LeftPrompt): number {
    let forgotten = 0;
    for (let i = ids.length - 1; i >= 0; i--) {
      const id = ids[i]!;
      const leavers = this.#leavers.get(id) - 1;
      this.#leavers.set(id, leavers);
      if (leavers > 0 || this.#holders.get(id) > 0) continue;
      this.#runs.remove(id);
      forgotten += tokens;
    }
    held.left -= forgotten;
    return forgotten;
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
