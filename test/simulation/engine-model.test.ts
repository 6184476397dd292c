import { describe, expect, it } from 'vitest';
import {
  decodeRunMs,
  decodeStepsWithin,
  enginePresets,
  isolatedPrefillMs,
  mixedStepMs,
} from '../../src/simulation/engine-model.ts';

const model = enginePresets['llama8b-h100'];

describe('the engine model', () => {
  it.each([
    [2048, 62],
    [8192, 258],
    [12_000, 401],
  ])('prefills %i tokens of an 8B model on one H100 in %i ms', (tokens, expectedMs) => {
    const milliseconds = mixedStepMs(model, tokens, (tokens * tokens) / 2, 1, 0, 0);
    expect(Math.abs(milliseconds - expectedMs)).toBeLessThan(1);
  });

  it.each([
    [1, 0, 7.5],
    [32, 2048, 11.3],
    [64, 2048, 15.2],
    [128, 2048, 23],
  ])('decodes %i sequences of %i tokens at %f ms per step', (sequences, context, expectedMs) => {
    expect(decodeRunMs(model, 1, sequences, sequences * context)).toBeCloseTo(expectedMs, 0);
  });

  it('agrees with the 400 ms that llm-d measured for 8,192 tokens of a 32B model on two H100', () => {
    expect(Math.abs(isolatedPrefillMs(enginePresets['qwen32b-2h100'], 8192) / 400 - 1)).toBeLessThan(0.05);
  });

  it('sums a run of decode steps as the single steps would', () => {
    let sum = 0;
    for (let step = 0; step < 100; step++) sum += decodeRunMs(model, 1, 17, 40_000 + 17 * step);
    expect(decodeRunMs(model, 100, 17, 40_000)).toBeCloseTo(sum, 6);
  });

  it('inverts a run of decode steps', () => {
    for (const steps of [0, 1, 2, 77, 5000]) {
      const milliseconds = decodeRunMs(model, steps, 33, 90_000);
      expect(decodeStepsWithin(model, milliseconds, 33, 90_000)).toBe(steps);
      expect(decodeStepsWithin(model, milliseconds + 0.01, 33, 90_000)).toBe(steps);
      if (steps > 0) expect(decodeStepsWithin(model, milliseconds - 0.01, 33, 90_000)).toBe(steps - 1);
    }
  });

  it('takes nothing off a prompt whose every token is cached but the last', () => {
    expect(isolatedPrefillMs(model, 1000, 1000)).toBeCloseTo(7.4 + 0.005 + 0.0257, 1);
  });
});
