import { describe, expect, it } from 'vitest';
import type { EngineCore } from '../../../src/engine/engine-core.ts';
import {
  createFakeCore,
  engineRequest,
  fakeAdapters,
  type RequestFields,
  runToEnd,
  tokensByChoice,
} from '../support/fake-core.ts';
import { FakeModel } from '../support/fake-model.ts';

const prompt = Array.from({ length: 40 }, (_, i) => ((i * 7) % 90) + 1);

function run(core: EngineCore, requests: readonly RequestFields[]): Map<string, number[]> {
  for (const request of requests) core.add(engineRequest({ maxTokens: 12, ignoreEos: true, ...request }));
  return tokensByChoice(runToEnd(core));
}

function alone(request: RequestFields, names: Readonly<Record<string, string>>): number[] {
  const core = createFakeCore({ lora: fakeAdapters(8) });
  for (const [name, path] of Object.entries(names)) core.loadAdapter(name, path);
  return run(core, [request]).get(`${request.id}/0`)!;
}

const NAMES = { alice: '1', bob: '2', carol: '3' };

describe('requests with adapters', () => {
  it('get the same tokens whichever other adapters run, are cached, or wait', () => {
    for (const maxLoras of [1, 2, 3]) {
      const core = createFakeCore({ lora: fakeAdapters(maxLoras, 3), maxNumBatchedTokens: 48 });
      for (const [name, path] of Object.entries(NAMES)) core.loadAdapter(name, path);
      const adapters = ['alice', 'bob', undefined, 'carol', 'alice', 'bob', undefined, 'carol'];
      const requests = adapters.map((adapter, id) => ({
        id,
        prompt: [...prompt, id % 3],
        ...(adapter === undefined ? {} : { adapter }),
      }));
      const together = run(core, requests);
      for (const request of requests)
        expect(together.get(`${request.id}/0`), `${maxLoras} of 3`).toEqual(alone(request, NAMES));
      expect(together.get('0/0')).not.toEqual(together.get('2/0'));
    }
  });

  it('never share cached blocks with the model or with each other, and share them among themselves', () => {
    const core = createFakeCore({ lora: fakeAdapters(2) });
    core.loadAdapter('alice', '1');
    core.loadAdapter('bob', '2');
    run(core, [{ id: 0, prompt, adapter: 'alice' }]);
    expect(core.gauges.prefixHits).toBe(0);
    run(core, [
      { id: 1, prompt, adapter: 'bob' },
      { id: 2, prompt },
    ]);
    expect(core.gauges.prefixHits).toBe(0);
    run(core, [{ id: 3, prompt, adapter: 'alice' }]);
    expect(core.gauges.prefixHits).toBe(32);
  });

  it('hash every block with the name, and the first also with the salt, as vLLM does', () => {
    const core = createFakeCore({ lora: fakeAdapters(1), collectsKvEvents: true });
    core.loadAdapter('alice', '1');
    run(core, [{ id: 0, prompt: prompt.slice(0, 33), adapter: 'alice', cacheSalt: 'salt', maxTokens: 1 }]);
    const stored = core.drainKvEvents().filter((event) => event.type === 'BlockStored');
    expect(stored[0]).toMatchObject({ extraKeys: ['alice', 'salt'], adapterKey: 'alice' });
    expect(stored.every((event) => event.adapterKey === 'alice')).toBe(true);
  });

  it('of a name that is loaded again never find what the earlier weights computed', () => {
    const core = createFakeCore({ lora: fakeAdapters(1) });
    core.loadAdapter('alice', '1');
    run(core, [{ id: 0, prompt, adapter: 'alice' }]);
    expect(core.unloadAdapter('alice')).toBe(true);
    core.loadAdapter('alice', '9');
    const tokens = run(core, [{ id: 1, prompt, adapter: 'alice' }]).get('1/0');
    expect(core.gauges.prefixHits).toBe(0);
    expect(tokens).toEqual(alone({ id: 1, prompt, adapter: 'alice' }, { alice: '9' }));
  });

  it('run at most max_loras in a step, and the others do not stop the rest', () => {
    const seen: number[] = [];
    const watch = (batch: { sequences: number; adapters?: Int32Array }) =>
      seen.push(new Set([...batch.adapters!.subarray(0, batch.sequences)].filter((slot) => slot >= 0)).size);
    const core = createFakeCore({
      model: new FakeModel({ blocks: 64, blockSize: 16, vocabSize: 97, onStep: watch }),
      lora: fakeAdapters(1, 2),
    });
    core.loadAdapter('alice', '1');
    core.loadAdapter('bob', '2');
    for (const [id, adapter] of ['alice', 'bob', undefined].entries())
      core.add(
        engineRequest({ id, prompt: [1, 2, id], maxTokens: 5, ignoreEos: true, ...(adapter && { adapter }) }),
      );
    const first = core.step();
    expect(first.map(({ requestId }) => requestId).sort()).toEqual([0, 2]);
    expect(core.gauges.adapters).toEqual({ running: ['alice'], waiting: ['bob'] });
    runToEnd(core);
    expect(Math.max(...seen)).toBe(1);
    expect(core.gauges.adapters).toEqual({ running: [], waiting: [] });
  });
});

describe('loading and unloading', () => {
  it('keeps a slot until the last sequence that runs with it has ended', () => {
    const model = new FakeModel({ blocks: 64, blockSize: 16, vocabSize: 97 });
    const core = createFakeCore({ model, lora: fakeAdapters(1) });
    core.loadAdapter('alice', '1');
    core.add(engineRequest({ id: 0, prompt, adapter: 'alice', maxTokens: 8, ignoreEos: true }));
    core.step();
    expect(core.unloadAdapter('alice')).toBe(true);
    expect(() => core.add(engineRequest({ id: 1, prompt, adapter: 'alice' }))).toThrow(/alice is not loaded/);
    expect(() => core.loadAdapter('bob', '2')).toThrow(/places for adapters are taken; unload one or raise/);
    expect(tokensByChoice(runToEnd(core)).get('0/0')?.length).toBeGreaterThan(5);
    core.loadAdapter('bob', '2');
    expect([...model.adapters.keys()]).toEqual([0]);
  });

  it('in place of earlier weights leaves those to sequences that run with them, and keeps them if it fails', () => {
    const model = new FakeModel({ blocks: 64, blockSize: 16, vocabSize: 97 });
    const core = createFakeCore({ model, lora: fakeAdapters(2) });
    const request = { prompt, adapter: 'alice', maxTokens: 12, ignoreEos: true };
    core.loadAdapter('alice', '1');
    expect(() => core.loadAdapter('alice', 'nowhere', true)).toThrow(/nowhere holds no adapter/);
    core.add(engineRequest({ id: 0, ...request }));
    core.step();
    core.loadAdapter('alice', '9', true);
    expect(() => core.loadAdapter('alice', '8', true)).not.toThrow();
    core.add(engineRequest({ id: 1, ...request }));
    const tokens = tokensByChoice(runToEnd(core));
    const first = alone({ id: 0, ...request }, { alice: '1' });
    expect(tokens.get('0/0')).toEqual(first.slice(1));
    expect(tokens.get('1/0')).toEqual(alone({ id: 1, ...request }, { alice: '8' }));
    core.loadAdapter('alice', '7', true);
    expect([...model.adapters.values()].map(({ files }) => files)).toEqual([['7']]);
  });

  it('is refused for a taken name, a bad folder, and without LoRA', () => {
    const core = createFakeCore({ lora: fakeAdapters(2) });
    core.loadAdapter('alice', '1');
    expect(() => core.loadAdapter('alice', '2')).toThrow(/alice is loaded already/);
    expect(() => core.loadAdapter('bob', 'nowhere')).toThrow(/nowhere holds no adapter/);
    expect(core.unloadAdapter('bob')).toBe(false);
    expect(() => createFakeCore().loadAdapter('alice', '1')).toThrow(/start with --enable-lora/);
  });

  it('survives sleep: the adapters are there again after waking', () => {
    const reopenModel = () => new FakeModel({ blocks: 64, blockSize: 16, vocabSize: 97 });
    const core = createFakeCore({ lora: fakeAdapters(1), reopenModel });
    core.loadAdapter('alice', '1');
    const request = { id: 0, prompt, adapter: 'alice' };
    const before = run(core, [request]).get('0/0');
    core.sleep();
    core.wake();
    expect(run(core, [request]).get('0/0')).toEqual(before);
  });
});
