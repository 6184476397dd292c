import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { createModelPlan } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import type { ModelPlan, StepBatch } from '../../src/engine/native/native.ts';
import { SamplingFloat, SamplingInt } from '../../src/engine/native/native.ts';
import { batchOf, blocksFor, dummyPlan, prompt } from './sequences.ts';

const native = loadNative();
const model = native.open(dummyPlan({ maxTokens: 64, maxSamples: 4, blocks: 20 }));
afterAll(() => model.close());

const good = (): StepBatch =>
  batchOf([
    { tokens: prompt(20, 1, 331), start: 0, blocks: [1, 2] },
    { tokens: prompt(3, 2, 331), start: 16, blocks: [3, 4] },
  ]);

describe('a step with a wrong batch throws with the argument and leaves the model usable', () => {
  type Break = (batch: StepBatch) => Partial<StepBatch> | undefined;
  const set = (array: Int32Array | Float32Array, index: number, value: number): undefined => {
    array[index] = value;
  };
  it.each<readonly [RegExp, Break]>([
    [/tokens is 65, expected 0 to 64/, () => ({ tokens: 65 })],
    [/tokens is -1/, () => ({ tokens: -1 })],
    [/samples is 5, expected 0 to 4/, () => ({ samples: 5 })],
    [/sequences is 99/, () => ({ sequences: 99 })],
    [/tokenIds has 2 elements, this step needs 23/, () => ({ tokenIds: new Int32Array(2) })],
    [/tokenIds is not an Int32Array/, () => ({ tokenIds: new Float32Array(30) as unknown as Int32Array })],
    [/sampledIds has 0 elements/, () => ({ sampledIds: new Int32Array(0) })],
    [/samplingFloats has 6 elements/, () => ({ samplingFloats: new Float32Array(6) })],
    [/tokenIds\[3\] is 331, expected -2 to 330/, (b) => set(b.tokenIds, 3, 331)],
    [/tokenIds\[0\] is -3, expected -2 to 330/, (b) => set(b.tokenIds, 0, -3)],
    [/positions\[5\] is 9, expected 5/, (b) => set(b.positions, 5, 9)],
    [/positions\[0\] is -4/, (b) => set(b.positions, 0, -4)],
    [/slotMapping\[7\] is 0, the block table says 23/, (b) => set(b.slotMapping, 7, 0)],
    [/tableRows\[1\] is 64, expected 0 to 63/, (b) => set(b.tableRows, 1, 64)],
    [/row 5 of the block tables has 0 blocks, sequence 0 needs 2/, (b) => set(b.tableRows, 0, 5)],
    [/tableDeltas has 3 elements, this step needs 18/, () => ({ tableDeltas: new Int32Array(3) })],
    [/tableDeltaCount is negative/, () => ({ tableDeltaCount: -1 })],
    [/tableDeltas\.row\[4\] is -1, expected 0 to 63/, (b) => set(b.tableDeltas, 12, -1)],
    [/tableDeltas\.block\[2\] is 20, expected 0 to 19/, (b) => set(b.tableDeltas, 8, 20)],
    [/tableDeltas\.block\[2\] is -1, expected 0 to 19/, (b) => set(b.tableDeltas, 8, -1)],
    [/tableDeltas\.column\[2\] is 64, expected 1 to 63/, (b) => set(b.tableDeltas, 7, 64)],
    [/tableDeltas\.column\[2\] is 0, expected 1 to 63/, (b) => set(b.tableDeltas, 7, 0)],
    [/tableDeltas\[2\] sets column 2 of row 0, which has 1 blocks/, (b) => set(b.tableDeltas, 7, 2)],
    [/tableDeltas\[0\] empties row 0 from column 1, expected 0/, (b) => set(b.tableDeltas, 1, 1)],
    [
      /tableDeltas\[3\] comes back to row 0: deltas of a row are adjacent/,
      () => ({ tableDeltas: Int32Array.of(0, 0, -1, 0, 0, 1, 1, 0, -1, 0, 1, 2, 1, 0, 3, 1, 1, 4) }),
    ],
    [/queryStarts\[0\] is 1/, (b) => set(b.queryStarts, 0, 1)],
    [/queryStarts\[1\] is 0, expected more than 0/, (b) => set(b.queryStarts, 1, 0)],
    [/queryStarts\[2\] is 22, expected the number of tokens, 23/, (b) => set(b.queryStarts, 2, 22)],
    [/sampleRows\[1\] is 23/, (b) => set(b.sampleRows, 1, 23)],
    [/Temperature/, (b) => set(b.samplingFloats, SamplingFloat.Temperature, Number.NaN)],
    [/TopP/, (b) => set(b.samplingFloats, SamplingFloat.TopP, 0)],
    [/MinP/, (b) => set(b.samplingFloats, SamplingFloat.MinP, 2)],
    [/RepetitionPenalty/, (b) => set(b.samplingFloats, SamplingFloat.RepetitionPenalty, 0)],
    [/TopK is -3/, (b) => set(b.samplingInts, SamplingInt.TopK, -3)],
    [/Logprobs is 3, expected -1 to topStride/, (b) => set(b.samplingInts, SamplingInt.Logprobs, 3)],
    [/history of 0/, (b) => set(b.samplingInts, SamplingInt.HistoryLength, 4)],
    [/biasStarts/, (b) => set(b.biasStarts, 2, 1)],
    [
      /biasIds\[0\] is 400/,
      (b) => {
        set(b.biasStarts, 1, 1);
        set(b.biasStarts, 2, 1);
        return { biasIds: Int32Array.of(400), biasValues: Float32Array.of(1) };
      },
    ],
  ])('%s', (message, spoil) => {
    const batch = good();
    const changed = { ...batch, ...spoil(batch) };
    expect(() => model.step(changed)).toThrow(message);
    expect(() => model.step(good())).not.toThrow();
  });

  it('logits too short, a missing array, no batch at all', () => {
    expect(() => model.step(good(), new Float32Array(331))).toThrow(
      /logits has 331 elements, this step needs 662/,
    );
    const { positions: _, ...rest } = good();
    expect(() => model.step(rest as StepBatch)).toThrow(/positions is missing/);
    expect(() => model.step(undefined as unknown as StepBatch)).toThrow(/a batch is expected/);
  });

  it('a refused step changes no block table: the same sequence goes on in the blocks that it had', () => {
    const tokens = prompt(40, 3, 331);
    const logitsOfLast = (spoils: boolean) => {
      const other = native.open(dummyPlan({ blocks: 20 }));
      const first = batchOf([{ tokens: tokens.slice(0, 20), start: 0, blocks: [1, 2], rows: [] }]);
      other.step(first);
      const next = {
        ...batchOf([{ tokens: tokens.slice(20), start: 20, blocks: [1, 2, 9] }]),
        tableDeltas: Int32Array.of(0, 2, 9),
        tableDeltaCount: 1,
      };
      const slotMapping = next.slotMapping.slice();
      if (spoils) {
        slotMapping[13] = 7;
        // Empties the row and fills it with other blocks, but names a slot that is not there.
        const tableDeltas = Int32Array.of(0, 0, -1, 0, 0, 5, 0, 1, 6, 0, 2, 7);
        const wrong = { ...next, slotMapping, tableDeltas, tableDeltaCount: 4 };
        expect(() => other.step(wrong)).toThrow(/slotMapping\[0\] is 36, the block table says 100/);
      }
      const logits = new Float32Array(331);
      other.step(next, logits);
      other.close();
      return logits;
    };
    expect(logitsOfLast(true)).toEqual(logitsOfLast(false));
  });

  it('a third step in flight, a wait for nothing, a step between a launch and its wait', () => {
    const other = native.open(dummyPlan({ blocks: 20 }));
    expect(() => other.wait(good())).toThrow(/no step is in flight/);
    other.launch(good());
    expect(() => other.step(good())).toThrow(/another step is in flight/);
    other.launch(good());
    expect(() => other.launch(good())).toThrow(/two steps are in flight/);
    expect(() => other.wait({ ...good(), sampledIds: new Int32Array(1) })).toThrow(
      /sampledIds has 1 elements, this step needs 2/,
    );
    other.wait(good());
    other.wait(good());
    expect(() => other.wait(good())).toThrow(/no step is in flight/);
    other.close();
  });

  it('a placeholder in the first step: there is no sample that it could stand for', () => {
    const other = native.open(dummyPlan({ blocks: 20 }));
    const batch = good();
    batch.tokenIds[0] = -1;
    expect(() => other.launch(batch)).toThrow(/tokenIds\[0\] is -1, expected 0 to 330/);
    other.close();
  });

  it('an empty step does nothing', () => {
    expect(() => model.step(batchOf([]))).not.toThrow();
  });
});

describe('a wrong plan is refused with the reason', () => {
  it.each<readonly [RegExp, Partial<ModelPlan>]>([
    [/blockSize must be 16/, { blockSize: 32 }],
    [/heads must be a multiple of kvHeads/, { heads: 5 }],
    [/headDim must be even/, { headDim: 1024 }],
    [/ropeInverseFrequencies has 3 elements/, { ropeInverseFrequencies: new Float32Array(3) }],
    [/slidingWindows has 1 elements/, { slidingWindows: new Int32Array(1) }],
    [/threads must be between/, { threads: 0 }],
    [/blocks must be positive/, { blocks: 0 }],
    [/kvCacheDtype must be F32, BF16 or I8/, { kvCacheDtype: 'F16' as 'F32' }],
    [/weightDtype has the unknown value 'F64'/, { weightDtype: 'F64' as 'F32' }],
    [/hiddenSize is 1\.5/, { hiddenSize: 1.5 }],
    [/no instruction set named sse9/, { isa: 'sse9' }],
    [/cannot allocate/, { blocks: 2_000_000_000 }],
  ])('%s', (message, changes) => {
    expect(() => native.open(dummyPlan(changes))).toThrow(message);
  });
});

describe('a wrong checkpoint is refused with the tensor', () => {
  const folder = fileURLToPath(new URL('../fixtures/parity/llama/', import.meta.url));
  const plan = createModelPlan(folder, { blocks: 8, threads: 1, maxTokens: 16, maxSamples: 1 });
  const scratch = mkdtempSync(join(tmpdir(), 'pointsman-native-'));
  afterAll(() => rmSync(scratch, { recursive: true }));

  it('a file that became shorter after its header was read', () => {
    const copy = join(scratch, 'short.safetensors');
    writeFileSync(copy, readFileSync(plan.files[0]!));
    truncateSync(copy, 100_000);
    expect(() => native.open({ ...plan, files: [copy] })).toThrow(
      /short\.safetensors is truncated: .* needs bytes/,
    );
  });

  it('a file that is not there, or empty', () => {
    expect(() => native.open({ ...plan, files: [join(scratch, 'none')] })).toThrow(
      /cannot open .*none: No such file/,
    );
    const empty = join(scratch, 'empty');
    writeFileSync(empty, '');
    expect(() => native.open({ ...plan, files: [empty] })).toThrow(/is not a readable file/);
  });

  it('a tensor that is missing, of the wrong shape, or beyond the file', () => {
    const without = plan.tensors.filter((t) => t.role !== 'down_proj' || t.layer !== 1);
    expect(() => native.open({ ...plan, tensors: without })).toThrow(/no tensor for down_proj of layer 1/);
    const change = (role: string, changes: object) =>
      plan.tensors.map((t) => (t.role === role ? { ...t, ...changes } : t));
    expect(() => native.open({ ...plan, tensors: change('q_proj', { shape: [64, 65] }) })).toThrow(
      /q_proj of layer 0: expected shape \[64, 64\], found \[64, 65\]/,
    );
    expect(() => native.open({ ...plan, tensors: change('final_norm', { offset: 1e12 }) })).toThrow(
      /final_norm needs/,
    );
    expect(() => native.open({ ...plan, tensors: change('v_proj', { file: 7 }) })).toThrow(/file index 7/);
  });
});

describe('closing', () => {
  it('twice does nothing, a step afterwards is an error', () => {
    const other = native.open(dummyPlan());
    other.close();
    other.close();
    expect(() => other.step(good())).toThrow(/closed/);
    expect(other.memory()).toEqual({ weights: 0, kvCache: 0, scratch: 0 });
  });

  it('gives the memory back: 50 models of 17 MB grow the process by less than 30 MB', () => {
    const cycle = () => {
      const other = native.open(dummyPlan({ threads: 2, blocks: 1024, hiddenSize: 256 }));
      other.step(batchOf([{ tokens: prompt(40, 1, 331), start: 0, blocks: blocksFor(40, 0) }]));
      other.close();
    };
    for (let i = 0; i < 5; i++) cycle();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 50; i++) cycle();
    expect((process.memoryUsage().rss - before) / 1e6).toBeLessThan(30);
  });
});
