import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import type { EngineCoreOptions } from '../../src/engine/engine-core-options.ts';
import type { EngineRequest } from '../../src/engine/sequence.ts';
import { createFakeCore, engineRequest, runToEnd, tokensByChoice } from './support/fake-core.ts';
import { FakeModel } from './support/fake-model.ts';

const prompt = (length: number, salt = 1) => Array.from({ length }, (_, i) => 1 + ((i * salt * 7) % 90));

/** What a request answers when nothing else ever ran. */
function aloneTokens(request: EngineRequest, options: Partial<EngineCoreOptions> = {}): number[][] {
  const core = createFakeCore({ ...options, hasPrefixCaching: false, blocks: 256, maxNumBatchedTokens: 512 });
  core.add(request);
  return [...tokensByChoice(runToEnd(core)).values()];
}

function runAll(core: EngineCore, requests: readonly EngineRequest[]) {
  for (const request of requests) core.add(request);
  return tokensByChoice(runToEnd(core));
}

describe('one step', () => {
  test('computes a long prompt in chunks of the token budget, while others decode', () => {
    const tokensPerStep: number[][] = [];
    const model = new FakeModel({
      blocks: 64,
      blockSize: 16,
      vocabSize: 97,
      onStep: (batch) => {
        const starts = batch.queryStarts.subarray(0, batch.sequences + 1);
        tokensPerStep.push(Array.from({ length: batch.sequences }, (_, i) => starts[i + 1]! - starts[i]!));
      },
    });
    const core = createFakeCore({ model, maxNumBatchedTokens: 32 });
    core.add(engineRequest({ id: 1, prompt: prompt(4), maxTokens: 5, ignoreEos: true }));
    core.add(engineRequest({ id: 2, prompt: prompt(60, 3), maxTokens: 2, ignoreEos: true }));
    runToEnd(core);
    expect(tokensPerStep).toEqual([[4, 28], [1, 31], [1, 1], [1, 1], [1]]);
  });

  test('admits no more sequences than there are seats', () => {
    const core = createFakeCore({ maxNumSeqs: 2 });
    for (let id = 0; id < 5; id++) core.add(engineRequest({ id, prompt: prompt(4, id + 1) }));
    core.step();
    expect(core.gauges).toMatchObject({ running: 2, waiting: 3 });
  });

  test('waits for a step with room for the whole prompt when chunked prefill is off', () => {
    const core = createFakeCore({ hasChunkedPrefill: false, maxNumBatchedTokens: 512 });
    core.add(engineRequest({ id: 1, prompt: prompt(300) }));
    core.add(engineRequest({ id: 2, prompt: prompt(300, 3) }));
    expect(core.step().map((output) => output.requestId)).toEqual([1]);
    expect(core.step().map((output) => output.requestId)).toEqual([1, 2]);
  });

  test('bounds one sequence by the long-prefill threshold', () => {
    const core = createFakeCore({ longPrefillTokenThreshold: 10, maxNumBatchedTokens: 64 });
    core.add(engineRequest({ id: 1, prompt: prompt(25) }));
    core.step();
    expect(core.gauges.stepTokens).toBe(10);
    core.step();
    expect(core.step()).toHaveLength(1);
  });
});

describe('order', () => {
  test('by priority, a lower number runs first and takes blocks from a higher one', () => {
    const core = createFakeCore({ policy: 'priority', blocks: 8, maxModelLen: 128, maxNumSeqs: 4 });
    core.add(
      engineRequest({
        id: 1,
        prompt: prompt(40),
        priority: 5,
        maxTokens: 60,
        minTokens: 60,
        ignoreEos: true,
      }),
    );
    core.step();
    core.add(
      engineRequest({
        id: 2,
        prompt: prompt(40, 3),
        priority: 0,
        maxTokens: 60,
        minTokens: 60,
        ignoreEos: true,
      }),
    );
    const finished = runToEnd(core)
      .filter((output) => output.finish !== undefined)
      .map((output) => output.requestId);
    expect(finished).toEqual([2, 1]);
    expect(core.gauges.preemptions).toBeGreaterThan(0);
  });

  test('first come, first served: the latest admitted is preempted, and all finish in order', () => {
    const core = createFakeCore({ blocks: 8, maxModelLen: 128, maxNumSeqs: 4 });
    const requests = [1, 2, 3].map((id) =>
      engineRequest({ id, prompt: prompt(20, id), maxTokens: 60, ignoreEos: true }),
    );
    for (const request of requests) core.add(request);
    const finished = runToEnd(core).filter((output) => output.finish !== undefined);
    expect(finished.map((output) => output.requestId)).toEqual([1, 2, 3]);
    expect(core.gauges.preemptions).toBeGreaterThan(0);
  });
});

describe('several choices of one prompt', () => {
  test('share the prompt’s blocks, computing at most one block each anew', () => {
    for (const hasPrefixCaching of [true, false]) {
      const core = createFakeCore({ hasPrefixCaching, maxNumBatchedTokens: 256 });
      core.add(engineRequest({ id: 1, prompt: prompt(100), choices: 4, maxTokens: 3, ignoreEos: true }));
      expect(core.step().map((output) => output.choice)).toEqual([0]);
      expect(core.gauges).toMatchObject({ running: 1, waiting: 3 });
      expect(core.step().map((output) => output.choice)).toEqual([0, 1, 2, 3]);
      expect(core.gauges.stepTokens).toBe(1 + 3 * (100 - 96));
      core.checkIntegrity();
      runToEnd(core);
    }
  });

  test('draw differently with one seed, and alike in every run', () => {
    const request = engineRequest({ id: 1, prompt: prompt(20), choices: 3, temperature: 1, seed: 7n });
    const first = runAll(createFakeCore(), [request]);
    const second = runAll(createFakeCore({ seed: 99 }), [request]);
    expect(second).toEqual(first);
    expect(new Set([...first.values()].map(String)).size).toBe(3);
  });

  test('run even if the leader ends with its first token', () => {
    const core = createFakeCore();
    core.add(engineRequest({ id: 1, prompt: prompt(20), choices: 3, maxTokens: 1 }));
    expect(runToEnd(core).map((output) => output.choice)).toEqual([0, 1, 2]);
  });
});

describe('the end of a sequence', () => {
  const fresh = () =>
    aloneTokens(engineRequest({ id: 1, prompt: prompt(20), maxTokens: 30, ignoreEos: true }));

  test('comes at max_tokens, and at the context length', () => {
    const core = createFakeCore({ maxModelLen: 32 });
    core.add(engineRequest({ id: 1, prompt: prompt(20), maxTokens: 5, ignoreEos: true }));
    core.add(engineRequest({ id: 2, prompt: prompt(20), maxTokens: 50, ignoreEos: true }));
    const outputs = runToEnd(core);
    expect(outputs.filter((output) => output.requestId === 1)).toHaveLength(5);
    expect(outputs.filter((output) => output.requestId === 2)).toHaveLength(12);
    expect(outputs.at(-1)?.finish).toEqual({ reason: 'length' });
  });

  test('comes at end of text, unless that is ignored', () => {
    const [tokens] = fresh();
    const core = createFakeCore({ eosTokenIds: [tokens![4]!] });
    core.add(engineRequest({ id: 1, prompt: prompt(20), maxTokens: 30 }));
    const outputs = runToEnd(core);
    expect(outputs.map((output) => output.tokenId)).toEqual(
      tokens!.slice(0, tokens!.indexOf(tokens![4]!) + 1),
    );
    expect(outputs.at(-1)?.finish).toEqual({ reason: 'stop', stopTokenId: undefined });
  });

  test('comes at a stop token, which is named', () => {
    const [tokens] = fresh();
    const core = createFakeCore();
    core.add(
      engineRequest({
        id: 1,
        prompt: prompt(20),
        maxTokens: 30,
        ignoreEos: true,
        stopTokenIds: [tokens![3]!],
      }),
    );
    expect(runToEnd(core).at(-1)?.finish).toEqual({ reason: 'stop', stopTokenId: tokens![3] });
  });

  test('does not come before min_tokens: end of text and stop tokens are banned until then', () => {
    const [tokens] = fresh();
    const core = createFakeCore({ eosTokenIds: [tokens![0]!] });
    core.add(engineRequest({ id: 1, prompt: prompt(20), maxTokens: 10, minTokens: 6 }));
    const outputs = runToEnd(core).map((output) => output.tokenId);
    expect(outputs.slice(0, 6)).not.toContain(tokens![0]);
    expect(outputs.length).toBeGreaterThanOrEqual(6);
  });
});

describe('choosing tokens', () => {
  test('allowed token ids and logit biases bound the choice', () => {
    const core = createFakeCore();
    core.add(
      engineRequest({ id: 1, prompt: prompt(9), maxTokens: 20, temperature: 2, allowedTokenIds: [5, 6] }),
    );
    core.add(engineRequest({ id: 2, prompt: prompt(9), maxTokens: 5, logitBias: [[42, 100]] }));
    const tokens = tokensByChoice(runToEnd(core));
    expect(new Set(tokens.get('1/0'))).toEqual(new Set([5, 6]));
    expect(new Set(tokens.get('2/0'))).toEqual(new Set([42]));
  });

  test('penalties see the output so far', () => {
    const core = createFakeCore();
    const biased = { prompt: prompt(9), maxTokens: 3, logitBias: [[42, 50]] as const };
    core.add(engineRequest({ id: 1, ...biased, frequencyPenalty: 100 }));
    const [first, ...rest] = tokensByChoice(runToEnd(core)).get('1/0')!;
    expect(first).toBe(42);
    expect(rest).not.toContain(42);
  });

  test('log-probabilities come with ranks and the most likely tokens', () => {
    const core = createFakeCore();
    core.add(engineRequest({ id: 1, prompt: prompt(9), maxTokens: 2, logprobs: 3 }));
    core.add(engineRequest({ id: 2, prompt: prompt(5), maxTokens: 2, logprobs: 0 }));
    core.add(engineRequest({ id: 3, prompt: prompt(5), maxTokens: 2 }));
    const outputs = runToEnd(core);
    for (const output of outputs) {
      if (output.requestId === 3) expect(output.logprobs).toBeUndefined();
      else expect(output.logprobs?.topIds).toHaveLength(output.requestId === 1 ? 3 : 0);
      if (output.requestId === 1) {
        expect(output.logprobs?.rank).toBe(1);
        expect(output.logprobs?.topIds[0]).toBe(output.tokenId);
        expect(output.logprobs?.topLogprobs[0]).toBeCloseTo(output.logprobs!.logprob);
      }
    }
  });
});

describe('aborting', () => {
  test('frees all blocks at once, wherever the request is', () => {
    const core = createFakeCore({ maxNumSeqs: 2 });
    for (let id = 0; id < 4; id++)
      core.add(engineRequest({ id, prompt: prompt(100, id + 1), choices: 2, ignoreEos: true }));
    core.step();
    core.step();
    for (const id of [3, 0, 1, 2]) {
      expect(core.abort(id)).toBe(true);
      core.checkIntegrity();
    }
    expect(core.abort(0)).toBe(false);
    expect(core.hasWork).toBe(false);
    expect(core.gauges).toMatchObject({ running: 0, waiting: 0, kvCacheUsage: 0 });
  });
});

describe('refusals', () => {
  test('a pool smaller than one full sequence, or a budget smaller than the seats, is named', () => {
    expect(() => createFakeCore({ blocks: 4, maxModelLen: 512 })).toThrow(/max-model-len/);
    expect(() => createFakeCore({ maxNumBatchedTokens: 8 })).toThrow(/max-num-batched-tokens/);
    expect(() => createFakeCore({ hasChunkedPrefill: false })).toThrow(/chunked prefill/);
  });

  test('empty and too long prompts are refused', () => {
    const core = createFakeCore({ maxModelLen: 32 });
    expect(() => core.add(engineRequest({ id: 1, prompt: [] }))).toThrow(/1 to 31 tokens/);
    expect(() => core.add(engineRequest({ id: 1, prompt: prompt(32) }))).toThrow(/has 32/);
  });
});

/** Random traffic over tiny pools, against the same requests run alone. */
describe('any traffic', () => {
  const requestArbitrary = fc.record({
    shared: fc.nat(40),
    own: fc.nat(20),
    salt: fc.nat(3),
    maxTokens: fc.integer({ min: 1, max: 60 }),
    choices: fc.constantFrom(1, 1, 1, 2, 3),
    temperature: fc.constantFrom(0, 0, 1),
    frequencyPenalty: fc.constantFrom(0, 0, 2),
    /** The second one makes every step wait for the one before. */
    badWords: fc.constantFrom([], [], [], [[5]], [[5, 6]]),
    stopTokenIds: fc.constantFrom([], [11, 23, 42]),
    promptLogprobs: fc.constantFrom(undefined, undefined, undefined, undefined, 1),
    priority: fc.nat(3),
    /** Arrives when this many steps have run. */
    arrivalStep: fc.nat(30),
    /** Aborted this many steps later. */
    abortAfter: fc.option(fc.nat(30), { freq: 4, nil: undefined }),
  });
  const settings = fc.record({
    requests: fc.array(requestArbitrary, { minLength: 1, maxLength: 12, size: 'max' }),
    // 32 hold one request of the greatest length; a few more and requests push each other out.
    blocks: fc.integer({ min: 32, max: 40 }),
    maxNumSeqs: fc.integer({ min: 1, max: 8 }),
    maxNumBatchedTokens: fc.integer({ min: 8, max: 48 }),
    longPrefillTokenThreshold: fc.constantFrom(0, 0, 3),
    hasPrefixCaching: fc.boolean(),
    policy: fc.constantFrom('fcfs' as const, 'priority' as const),
  });
  type Mode = Pick<EngineCoreOptions, 'speculation' | 'isAsync'>;
  const drafts: fc.Arbitrary<Mode> = fc.option(
    fc.integer({ min: 1, max: 5 }).map((draftTokens) => ({
      speculation: { draftTokens, minNgram: 1, maxNgram: 3 },
    })),
    { nil: {} },
  );
  const twoInFlight: fc.Arbitrary<Mode> = fc.constant({ isAsync: true });

  test.each([
    [
      'drafts or without',
      drafts,
      { numRuns: 400, preemptions: 50, acceptedTokens: 20, launchedOverAnother: -1 },
    ],
    [
      'two steps in flight',
      twoInFlight,
      { numRuns: 300, preemptions: 30, acceptedTokens: -1, launchedOverAnother: 5000 },
    ],
  ])(
    'with %s gives every request the tokens that it has alone, and gives every block back',
    (_, modes, least) => {
      let preemptions = 0;
      let acceptedTokens = 0;
      let launchedOverAnother = 0;
      fc.assert(
        fc.property(settings, modes, ({ requests: fields, ...options }, mode) => {
          const model = new FakeModel({
            blocks: options.blocks,
            blockSize: 4,
            vocabSize: 97,
            onStep: () => {
              launchedOverAnother += model.stepsInFlight;
            },
          });
          const core = createFakeCore({ ...options, ...mode, model, blockSize: 4, maxModelLen: 128 });
          const requests = fields.map(({ shared, own, salt, ...rest }, id) =>
            engineRequest({
              ...rest,
              id,
              seed: BigInt(id),
              prompt: [...prompt(shared + 1), ...prompt(own, salt + 2)],
            }),
          );
          const outputs = [];
          for (let step = 0; step < 60 || core.hasWork; step++) {
            for (const [id, { arrivalStep, abortAfter }] of fields.entries()) {
              if (arrivalStep === step) core.add(requests[id]!);
              if (abortAfter !== undefined && arrivalStep + abortAfter === step) core.abort(id);
            }
            outputs.push(...core.step());
            core.checkIntegrity();
            if (step > 5000) throw new Error('no progress');
          }
          expect(model.stepsInFlight).toBe(0);
          preemptions += core.gauges.preemptions;
          acceptedTokens += core.gauges.drafts.acceptedTokens;
          const actual = tokensByChoice(outputs);
          for (const request of requests) {
            const isAborted = fields[request.id]!.abortAfter !== undefined;
            for (const [choice, expected] of aloneTokens(request, { maxModelLen: 128 }).entries()) {
              const tokens = actual.get(`${request.id}/${choice}`) ?? [];
              expect(tokens).toEqual(isAborted ? expected.slice(0, tokens.length) : expected);
            }
          }
          expect(core.gauges).toMatchObject({ running: 0, waiting: 0, kvCacheUsage: 0 });
        }),
        { numRuns: least.numRuns },
      );
      expect(preemptions).toBeGreaterThan(least.preemptions);
      expect(acceptedTokens).toBeGreaterThan(least.acceptedTokens);
      expect(launchedOverAnother).toBeGreaterThan(least.launchedOverAnother);
    },
    300_000,
  );
});
