import { diceOf } from './dice.ts';
import { type Conversation, randomConversation, recordedConversation } from './http2-conversation.ts';
import { mutate } from './http2-mutation.ts';
import { type Run, runHttp2 } from './http2-target.ts';

export interface FuzzFailure {
  readonly seed: number;
  readonly index: number;
  readonly kinds: readonly string[];
  readonly faults: readonly string[];
  /** The bytes as they came, in hexadecimal. */
  readonly chunks: readonly string[];
}

export interface FuzzOptions {
  readonly seed: number;
  readonly from: number;
  readonly to: number;
}

/** Cases between which the event loop turns, so that sockets close. */
const batchSize = 50;
/** Of a valid conversation; the clock may run ahead of its beginning. */
const allowedEnds = new Set(['open', 'closed', 'SettingsTimeout']);

/** Runs cases `[from, to)` of a seed: tells how each ended, and those that ended as none may. */
export async function fuzzHttp2({ seed, from, to }: FuzzOptions): Promise<{
  readonly outcomes: ReadonlyMap<string, number>;
  readonly failures: readonly FuzzFailure[];
}> {
  const recorded = await recordedConversation();
  const outcomes = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  for (let first = from; first < to; first += batchSize) {
    const batch = Array.from({ length: Math.min(batchSize, to - first) }, (_, i) =>
      start(seed, first + i, recorded),
    );
    await turns();
    for (const { index, kinds, chunks, run } of batch) {
      const faults = run.faults();
      const outcome = run.outcome();
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (kinds.length === 0 && !allowedEnds.has(outcome)) {
        failures.push(
          failure(seed, index, { kinds, chunks }, [`a valid conversation ended with ${outcome}`]),
        );
      } else if (faults.length > 0) {
        failures.push(failure(seed, index, { kinds, chunks: await shrink(chunks, seed, index) }, faults));
      }
    }
  }
  return { outcomes, failures };
}

function start(seed: number, index: number, recorded: Conversation) {
  const dice = diceOf(seed, `http2 ${index}`);
  const conversation = dice.chance(0.1) ? recorded : randomConversation(dice);
  const { kinds, chunks } = mutate(
    conversation,
    dice.chance(0.5) ? recorded : randomConversation(dice),
    dice,
  );
  return { index, kinds, chunks, run: runTarget(chunks, seed, index) };
}

function runTarget(chunks: readonly Buffer[], seed: number, index: number): Run {
  return runHttp2(chunks, diceOf(seed, `target ${index}`));
}

/** Leaves out chunks, and joins them, as long as something stays wrong. */
async function shrink(chunks: readonly Buffer[], seed: number, index: number): Promise<readonly Buffer[]> {
  let smallest = chunks;
  for (let at = 0; at < smallest.length && smallest.length < 2000; at++) {
    const joined = Buffer.concat(smallest.slice(at, at + 2));
    for (const fewer of [smallest.toSpliced(at, 1), smallest.toSpliced(at, 2, joined)]) {
      if (fewer.length >= smallest.length) continue;
      const run = runTarget(fewer, seed, index);
      await turns();
      if (run.faults().length === 0) continue;
      smallest = fewer;
      at--;
      break;
    }
  }
  return smallest;
}

function failure(
  seed: number,
  index: number,
  { kinds, chunks }: { readonly kinds: readonly string[]; readonly chunks: readonly Buffer[] },
  faults: readonly string[],
): FuzzFailure {
  return { seed, index, kinds, faults, chunks: chunks.map((chunk) => chunk.toString('hex')) };
}

/** One for the peer to vanish, one for its socket to close. */
async function turns(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
