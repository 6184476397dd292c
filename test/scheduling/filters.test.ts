import { describe, expect, it } from 'vitest';
import label from '../../src/scheduling/filters/label.ts';
import loraCapacity from '../../src/scheduling/filters/lora-capacity.ts';
import model from '../../src/scheduling/filters/model.ts';
import ready from '../../src/scheduling/filters/ready.ts';
import { makeContext, makeEndpoint, makeEndpoints } from './support.ts';

const slots = (endpoints: readonly { slot: number }[]): number[] => endpoints.map(({ slot }) => slot);

describe('the ready filter', () => {
  it('keeps endpoints that are ready', () => {
    const endpoints = makeEndpoints(4, (slot) => ({ isReady: slot % 2 === 1 }));
    expect(slots(ready.create({})(makeContext(), endpoints))).toEqual([1, 3]);
  });
});

describe('the model filter', () => {
  const endpoints = [
    makeEndpoint({ slot: 0, models: ['a', 'b'] }),
    makeEndpoint({ slot: 1, models: ['b'] }),
    makeEndpoint({ slot: 2, models: [] }),
  ];
  it.each([
    ['a', [0, 2]],
    ['b', [0, 1, 2]],
    ['c', [2]],
    [undefined, [0, 1, 2]],
  ])('given a request for %s keeps %j', (name, kept) => {
    expect(slots(model.create({})(makeContext({ request: { model: name } }), endpoints))).toEqual(kept);
  });
});

describe('the label filter', () => {
  const endpoints = [
    makeEndpoint({ slot: 0, labels: { role: 'decode', zone: 'a' } }),
    makeEndpoint({ slot: 1, labels: { role: 'prefill' } }),
    makeEndpoint({ slot: 2, labels: { zone: 'a', note: '' } }),
  ];
  it.each([
    [['role=decode'], [0]],
    [['role'], [0, 1]],
    [['!role'], [2]],
    [['zone=a', '!role'], [2]],
    [['zone = a'], [0, 2]],
    [['note='], [2]],
    [['toString'], []],
    [['role=other'], []],
  ])('given %j keeps %j', (matchLabels, kept) => {
    expect(slots(label.create({ matchLabels })(makeContext(), endpoints))).toEqual(kept);
  });

  it.each([[[]], [['=x']], [['!']], [['!a=b']], [['']]])(
    'refuses %j and says what it expects',
    (matchLabels) => {
      expect(() => label.create({ matchLabels })).toThrow(/key=value/);
    },
  );
});

describe('the lora-capacity filter', () => {
  const endpoints = [
    makeEndpoint({ slot: 0, metrics: { runningAdapters: ['x'], maxAdapters: 1 } }),
    makeEndpoint({ slot: 1, metrics: { runningAdapters: ['y'], maxAdapters: 1 } }),
    makeEndpoint({ slot: 2, metrics: { runningAdapters: ['y'], maxAdapters: 2 } }),
    makeEndpoint({ slot: 3, metrics: { runningAdapters: ['y'], waitingAdapters: ['x'], maxAdapters: 1 } }),
    makeEndpoint({ slot: 4, metrics: { runningAdapters: ['y'], waitingAdapters: ['z'], maxAdapters: 2 } }),
  ];
  const filter = loraCapacity.create({});
  it('keeps endpoints that use the adapter or have a free slot', () => {
    expect(slots(filter(makeContext({ request: { model: 'x' } }), endpoints))).toEqual([0, 2, 3]);
  });
  it('lets all pass for a base model, and for a request without a model', () => {
    expect(filter(makeContext({ request: { model: 'base' } }), endpoints)).toHaveLength(5);
    expect(filter(makeContext(), endpoints)).toHaveLength(5);
  });
  it('lets all pass when none would remain', () => {
    const full = makeEndpoints(2, () => ({
      adapters: ['q'],
      metrics: { runningAdapters: ['y'], maxAdapters: 1 },
    }));
    expect(filter(makeContext({ request: { model: 'q' } }), full)).toHaveLength(2);
  });
});
