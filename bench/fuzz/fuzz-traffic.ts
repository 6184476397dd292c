import type { EngineCore } from '../../src/engine/engine-core.ts';
import { defaultSamplingParams } from '../../src/engine/sampling-params.ts';
import type { EngineRequest } from '../../src/engine/sequence.ts';
import { type Dice, diceOf } from './dice.ts';
import type { FuzzFailure, FuzzOptions } from './fuzz-http2.ts';
import { adapterNames, maxModelLen, type TrafficTarget } from './traffic-target.ts';

export interface FuzzTrafficOptions extends FuzzOptions {
  readonly target: TrafficTarget;
}

interface Live {
  readonly request: EngineRequest;
  /** Compared with the alone run when it has ended. */
  readonly isChecked: boolean;
  /** Steps until its client leaves; undefined: never. */
  leavesIn: number | undefined;
  /** Token ids by choice. */
  readonly outputs: number[][];
  readonly open: Set<number>;
}

const mostLive = 30;
/** Of the requests that run to their end. */
const checkedShare = 0.03;

/**
 * Requests in any order through one core that has too little of everything: requests and single choices are
 * aborted, adapters come and go, cached prefixes are forgotten. The core's books are checked after every step;
 * some requests are compared with what they answer alone; at the end nothing may be held.
 */
export function fuzzTraffic({ seed, from, to, target }: FuzzTrafficOptions): {
  readonly outcomes: ReadonlyMap<string, number>;
  readonly failures: readonly FuzzFailure[];
} {
  const outcomes = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  const count = (outcome: string, times = 1) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + times);
  const { crowded: core } = target;
  const dice = diceOf(seed, `traffic ${from}`);
  const live = new Map<number, Live>();
  const preemptionsBefore = core.gauges.preemptions;
  let next = from;
  try {
    while (next < to || core.hasWork) {
      for (let burst = dice.below(4); burst > 0 && next < to && live.size < mostLive; burst--) {
        const entry = admit(core, randomRequest(next++, target.vocabSize, dice), dice);
        if (entry === undefined) count('refused');
        else live.set(entry.request.id, entry);
      }
      for (const entry of live.values()) {
        if (!leave(core, entry, dice)) continue;
        live.delete(entry.request.id);
        count('left');
      }
      changeAround(target, dice);
      for (const { requestId, choice, tokenId, finish } of core.step()) {
        const entry = live.get(requestId);
        if (entry === undefined) throw new Error(`request ${requestId} has left, and still answers`);
        entry.outputs[choice]!.push(tokenId);
        if (finish === undefined) continue;
        entry.open.delete(choice);
        if (entry.open.size > 0) continue;
        live.delete(requestId);
        count('answered');
        if (!entry.isChecked) continue;
        count('answered as alone');
        compare(target.alone, entry);
      }
      core.checkIntegrity();
      core.drainKvEvents();
    }
    const { running, waiting, kvCacheUsage, preemptions } = core.gauges;
    if (running + waiting + kvCacheUsage + live.size > 0)
      throw new Error(
        `${running} sequences run, ${waiting} wait, ${live.size} requests live, ${kvCacheUsage} of the blocks are held`,
      );
    count('preempted', preemptions - preemptionsBefore);
  } catch (error) {
    failures.push({ seed, index: from, kinds: [], faults: [(error as Error).message], chunks: [] });
  }
  return { outcomes, failures };
}

function randomRequest(id: number, vocabSize: number, dice: Dice): EngineRequest {
  const shared = Array.from({ length: dice.below(50) }, (_, i) => (3 + i * 7) % vocabSize);
  const own = Array.from({ length: 1 + dice.below(12) }, () => dice.below(vocabSize));
  const promptTokens = dice.chance(0.5) ? [...shared, ...own] : own;
  const constraint = dice.chance(0.05)
    ? ({ kind: 'regex', pattern: `(a|b){1,${1 + dice.below(200)}}` } as const)
    : undefined;
  return {
    id,
    promptTokens,
    choices: dice.oneOf([1, 1, 1, 1, 2, 3]),
    priority: dice.below(4),
    cacheSalt: dice.chance(0.1) ? `tenant ${dice.below(1000)}` : undefined,
    adapter: dice.chance(0.15) ? dice.oneOf(adapterNames) : undefined,
    sampling: {
      ...defaultSamplingParams,
      temperature: dice.oneOf([0, 0, 1]),
      seed: BigInt(id),
      maxTokens: 1 + dice.below(Math.min(20, maxModelLen - promptTokens.length)),
      minTokens: dice.chance(0.2) ? 1 : 0,
      ignoreEos: dice.chance(0.5),
      stopTokenIds: dice.chance(0.2) ? [dice.below(vocabSize)] : [],
      logprobs: dice.chance(0.1) ? dice.below(5) : undefined,
      frequencyPenalty: dice.chance(0.1) ? 1 : 0,
      badWords: dice.chance(0.1) ? [[dice.below(vocabSize), dice.below(vocabSize)]] : [],
      promptLogprobs: dice.chance(0.05) ? 1 : undefined,
      logitBias: dice.chance(0.1) ? [[dice.below(vocabSize), 3]] : [],
      constraint,
    },
  };
}

/** Undefined if the core refuses it: its adapter is not loaded. */
function admit(core: EngineCore, request: EngineRequest, dice: Dice): Live | undefined {
  try {
    core.add(request);
  } catch (error) {
    if (request.adapter !== undefined && (error as Error).message.includes('is not loaded')) return undefined;
    throw error;
  }
  const leavesIn = dice.chance(0.3) ? dice.below(12) : undefined;
  const choices = Array.from({ length: request.choices }, (_, choice) => choice);
  return {
    request,
    isChecked: leavesIn === undefined && dice.chance(checkedShare),
    leavesIn,
    outputs: choices.map(() => []),
    open: new Set(choices),
  };
}

/** Its client goes when its time has come, from one choice after the other or from all; true when it has gone. */
function leave(core: EngineCore, entry: Live, dice: Dice): boolean {
  if (entry.leavesIn === undefined || entry.leavesIn-- > 0) return false;
  const choice = dice.chance(0.5) ? [...entry.open][0] : undefined;
  if (!core.abort(entry.request.id, choice)) throw new Error('a live request could not be aborted');
  if (choice === undefined) entry.open.clear();
  else entry.open.delete(choice);
  core.checkIntegrity();
  return entry.open.size === 0;
}

function changeAround({ crowded, adapter }: TrafficTarget, dice: Dice): void {
  if (dice.chance(0.005)) crowded.resetPrefixCache();
  if (!dice.chance(0.02)) return;
  const name = dice.oneOf(adapterNames);
  if (crowded.unloadAdapter(name)) return;
  try {
    crowded.loadAdapter(name, adapter);
  } catch (error) {
    if (!(error as Error).message.includes('places for adapters are taken')) throw error;
  }
}

function compare(alone: EngineCore, { request, outputs }: Live): void {
  alone.add(request);
  const expected = outputs.map((): number[] => []);
  while (alone.hasWork) for (const { choice, tokenId } of alone.step()) expected[choice]!.push(tokenId);
  const [found, wanted] = [JSON.stringify(outputs), JSON.stringify(expected)];
  if (found !== wanted) throw new Error(`request ${request.id} answers ${found}, alone ${wanted}`);
}
