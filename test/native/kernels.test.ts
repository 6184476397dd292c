import { describe, expect, it } from 'vitest';
import { loadNative } from '../../src/engine/native/load.ts';
import type { NativeModule } from '../../src/engine/native/native.ts';

/** The addon exports its self-test beside the interface of native.ts: kernel → relative error against its twin. */
const native = loadNative() as NativeModule & {
  selfTest(isa: string): Readonly<Record<string, number>>;
  baselineProblem(features: readonly string[]): string;
};

// Twins add in double, kernels in float32: a sum of a few hundred products of one magnitude is good to about
// sqrt(n) half-ulps. The bfloat16 and float16 cases read the same rounded storage on both sides.
const TOLERANCE = 5e-6;

describe.each(native.cpuInfo().available)('kernels of %s agree with their plain twins', (isa) => {
  it.each(Object.entries(native.selfTest(isa)))('%s', (_, error) => {
    expect(error).toBeLessThan(TOLERANCE);
  });
});

describe('a processor below x86-64-v2', () => {
  const v2 = ['sse3', 'ssse3', 'sse4.1', 'sse4.2', 'popcnt'];

  it.runIf(process.arch === 'x64')('is refused with what it lacks and what to do', () => {
    expect(native.baselineProblem(v2)).toBe('');
    expect(native.baselineProblem(['sse3', 'ssse3'])).toMatch(
      /needs an x86-64-v2 processor .* lacks sse4\.1, sse4\.2, popcnt: run it elsewhere/,
    );
  });
});

it('names the best instruction set and lists what the processor runs, ending in portable', () => {
  const { isa, available } = native.cpuInfo();
  expect(available[0]).toBe(isa);
  expect(available.at(-1)).toBe('portable');
});
