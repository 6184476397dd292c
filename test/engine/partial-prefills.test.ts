import { describe, expect, test } from 'vitest';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { createFakeCore, engineRequest, runToEnd, tokensByChoice } from './support/fake-core.ts';

const prompt = (length: number, salt: number) => Array.from({ length }, (_, i) => 1 + ((i * salt * 7) % 90));

function coreWith(most: number, mostLong: number) {
  return createFakeCore({
    maxNumBatchedTokens: 64,
    longPrefillTokenThreshold: 10,
    partialPrefills: { most, mostLong, longTokens: 10 },
  });
}

describe('prompts computed in parts', () => {
  test('are no more than the limit, and the others wait', () => {
    const core = coreWith(2, 2);
    for (let id = 0; id < 4; id++) core.add(engineRequest({ id, prompt: prompt(40, id + 1), maxTokens: 1 }));
    core.step();
    expect(core.gauges).toMatchObject({ running: 2, waiting: 2, stepTokens: 20 });
    const answered = [...tokensByChoice(runToEnd(core)).values()];
    expect(answered).toHaveLength(4);
  });

  test('let short ones go before a second long one', () => {
    const core = coreWith(3, 1);
    core.add(engineRequest({ id: 1, prompt: prompt(40, 1), maxTokens: 1 }));
    core.add(engineRequest({ id: 2, prompt: prompt(40, 2), maxTokens: 1 }));
    core.add(engineRequest({ id: 3, prompt: prompt(8, 3), maxTokens: 1 }));
    expect(core.step().map(({ requestId }) => requestId)).toEqual([3]);
    expect(core.gauges).toMatchObject({ running: 1, waiting: 1 });
    expect(runToEnd(core).map(({ requestId }) => requestId)).toEqual([1, 2]);
    core.checkIntegrity();
  });

  test('have limits that fit together', () => {
    expect(toOpenOptions({ model: 'm' }, []).maxPartialPrefills).toBeUndefined();
    expect(toOpenOptions({ model: 'm', maxNumPartialPrefills: 4 }, []).maxPartialPrefills).toEqual({
      most: 4,
      mostLong: 1,
    });
    expect(() =>
      toOpenOptions({ model: 'm', maxNumPartialPrefills: 1, maxLongPartialPrefills: 2 }, []),
    ).toThrow(/the second at most the first/);
  });
});
