import { describe, expect, test } from 'vitest';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import type { StepInputs, StepResults } from '../../src/engine/native/native.ts';
import { TABLE_DELTA_INTS } from '../../src/engine/native/native.ts';
import { packVocabulary } from '../../src/engine/structured-output/index.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import {
  createFakeCore,
  engineRequest,
  fakeAdapters,
  type RequestFields,
  runToEnd,
  tokensByChoice,
} from './support/fake-core.ts';
import { FakeModel } from './support/fake-model.ts';

/** Writes down its calls. */
class LoggingModel extends FakeModel {
  readonly calls: string[] = [];
  readonly deltas: number[][] = [];
  readonly placeholders: number[] = [];
  #launched = 0;
  #waited = 0;

  constructor() {
    super({ blocks: 64, blockSize: 16, vocabSize: 97 });
  }

  override launch(batch: StepInputs): void {
    this.calls.push(`launch ${this.#launched++}`);
    this.deltas.push(Array.from(batch.tableDeltas.subarray(0, TABLE_DELTA_INTS * batch.tableDeltaCount)));
    this.placeholders.push(batch.tokenIds.subarray(0, batch.tokens).filter((id) => id < 0).length);
    super.launch(batch);
  }

  override wait(results: StepResults): void {
    this.calls.push(`wait ${this.#waited++}`);
    super.wait(results);
  }
}

const prompt = (length: number, salt = 1) => Array.from({ length }, (_, i) => 1 + ((i * salt * 7) % 90));

function opened(): { readonly core: EngineCore; readonly model: LoggingModel } {
  const model = new LoggingModel();
  return { model, core: createFakeCore({ model, isAsync: true }) };
}

function expected(fields: RequestFields): number[] {
  const core = createFakeCore();
  core.add(engineRequest(fields));
  return tokensByChoice(runToEnd(core)).get(`${fields.id}/0`)!;
}

describe('two steps in flight', () => {
  test('each step is launched before the one before it is waited for, with placeholders for its tokens', () => {
    const { core, model } = opened();
    const fields = { id: 1, prompt: prompt(5), maxTokens: 4, ignoreEos: true };
    core.add(engineRequest(fields));
    expect(tokensByChoice(runToEnd(core)).get('1/0')).toEqual(expected(fields));
    const [last, ...before] = ['wait 3', 'wait 2', 'launch 3', 'wait 1', 'launch 2', 'wait 0'];
    expect(model.calls).toEqual(['launch 0', 'launch 1', ...before.reverse(), last]);
    expect(model.placeholders).toEqual([0, 1, 1, 1]);
  });

  test('a sequence that ends by a token has run one token too far, and nobody sees it', () => {
    const { core, model } = opened();
    const fields = { id: 1, prompt: prompt(9), maxTokens: 30, ignoreEos: true };
    const stop = expected(fields)[3]!;
    core.add(engineRequest({ ...fields, stopTokenIds: [stop] }));
    const outputs = runToEnd(core);
    expect(outputs.map(({ tokenId }) => tokenId)).toEqual(expected({ ...fields, stopTokenIds: [stop] }));
    expect(outputs.at(-1)?.finish).toEqual({ reason: 'stop', stopTokenId: stop });
    expect(model.steps).toBe(outputs.length + 1);
  });

  test('a sequence that ends by its length has not', () => {
    const { core, model } = opened();
    core.add(engineRequest({ id: 1, prompt: prompt(9), maxTokens: 5, ignoreEos: true }));
    expect(runToEnd(core)).toHaveLength(5);
    expect(model.steps).toBe(5);
  });

  test('nothing is told of a request that is aborted while steps with it are in flight', () => {
    const { core } = opened();
    const other = { id: 2, prompt: prompt(20, 3), maxTokens: 10, ignoreEos: true };
    core.add(engineRequest({ id: 1, prompt: prompt(9), ignoreEos: true }));
    core.add(engineRequest(other));
    core.step();
    core.step();
    core.abort(1);
    const outputs = runToEnd(core);
    expect(outputs.filter(({ requestId }) => requestId === 1)).toEqual([]);
    expect(outputs.map(({ tokenId }) => tokenId)).toEqual(expected(other).slice(1));
    expect(core.gauges.kvCacheUsage).toBe(0);
  });

  test.each<readonly [string, Partial<RequestFields>]>([
    ['a structure', { constraint: { kind: 'regex', pattern: '[a-z]{6}' } }],
    ['words of several tokens that may not come', { badWords: [[5, 6]] }],
  ])('%s makes each step wait for the one before', (_, changes) => {
    const { core, model } = opened();
    core.useVocabulary(packVocabulary(Array.from({ length: 97 }, (_, id) => Uint8Array.of(97 + (id % 26)))));
    core.add(engineRequest({ id: 1, prompt: prompt(9), maxTokens: 3, ignoreEos: true, ...changes }));
    runToEnd(core);
    expect(model.calls).toEqual(['launch 0', 'wait 0', 'launch 1', 'wait 1', 'launch 2', 'wait 2']);
    expect(model.placeholders).toEqual([0, 0, 0]);
  });

  test('penalties see tokens that nobody has waited for', () => {
    const fields = { id: 1, prompt: prompt(9), maxTokens: 12, ignoreEos: true, frequencyPenalty: 3 };
    const { core, model } = opened();
    core.add(engineRequest(fields));
    expect(tokensByChoice(runToEnd(core)).get('1/0')).toEqual(expected(fields));
    expect(model.placeholders.slice(1)).toEqual(new Array(11).fill(1));
  });

  test('steps in flight end before adapters change', () => {
    const model = new LoggingModel();
    const core = createFakeCore({ model, isAsync: true, lora: fakeAdapters(2) });
    const fields = { id: 1, prompt: prompt(9), maxTokens: 6, ignoreEos: true };
    core.add(engineRequest(fields));
    core.step();
    core.step();
    expect(model.stepsInFlight).toBe(1);
    core.loadAdapter('a', '7');
    expect(model.stepsInFlight).toBe(0);
    // What they said is told by the next step.
    expect(runToEnd(core).map(({ tokenId }) => tokenId)).toEqual(expected(fields).slice(1));
  });

  test('each step counts its tokens once', () => {
    const { core } = opened();
    core.add(engineRequest({ id: 1, prompt: prompt(100), maxTokens: 4, ignoreEos: true }));
    const counts: number[] = [];
    while (core.hasWork) {
      core.step();
      counts.push(core.gauges.stepTokens);
    }
    expect(counts).toEqual([0, 64, 36, 1, 1, 1]);
  });

  test('is not for drafts, which need the tokens', () => {
    const speculativeConfig = { method: 'ngram', num_speculative_tokens: 2 };
    expect(() => toOpenOptions({ model: 'm', asyncScheduling: true, speculativeConfig }, [])).toThrow(
      /leave out --async-scheduling or --speculative-config/,
    );
  });
});

describe('block tables', () => {
  test('a step tells only what has changed in them', () => {
    const { core, model } = opened();
    core.add(engineRequest({ id: 1, prompt: prompt(30), maxTokens: 6, ignoreEos: true }));
    runToEnd(core);
    // Two blocks for the prompt; a third one when token 32 is computed.
    const [first, ...rest] = model.deltas;
    expect(first).toHaveLength(3 * TABLE_DELTA_INTS);
    expect(first!.slice(0, 3)).toEqual([0, 0, -1]);
    expect(rest.map(({ length }) => length / TABLE_DELTA_INTS)).toEqual([0, 0, 1, 0, 0]);
    expect(rest[2]!.slice(0, 2)).toEqual([0, 2]);
  });

  test('a block that is swapped for a cached one is told again', () => {
    const { core, model } = opened();
    // Both compute the same first block in the same step; one of them keeps it.
    for (const id of [1, 2])
      core.add(engineRequest({ id, prompt: prompt(20), maxTokens: 8, ignoreEos: true }));
    runToEnd(core);
    const toldBlocks = model.deltas.slice(1).flatMap((deltas) => deltas.length / TABLE_DELTA_INTS);
    expect(toldBlocks.reduce((sum, count) => sum + count)).toBeGreaterThan(0);
    expect(core.gauges.kvCacheUsage).toBe(0);
  });
});
