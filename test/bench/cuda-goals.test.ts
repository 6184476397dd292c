import { describe, expect, test } from 'vitest';
import { type Goal, goalsOf, goalsTable } from '../../bench/cuda/goals.ts';

const report = `
check: 12 of 12 parts passed, 700 cases passed, 0 failed.
racecheck: 11 of 12 parts passed, 90 cases passed, 0 failed.
Greedy output of 200 prompts beside the CPU's: 198 equal, 2 part where the CPU's two best tokens are within 0.05 nats, 0 elsewhere. In a batch as alone: 200.
| llama-8b on NVIDIA H200 | tok/s, median of 3 |
|---|--:|
| prefill of 512 | 20000 |
| prefill of 8192 | 36000 |
| decode, batch 1, context 1024 | 229 |
| decode, batch 64, context 1024 | 6000 |
256 requests, qwen3-0.6b: 140000 tokens in 7.00 s, 20000 tok/s.
| what | µs, median | GB/s | of the copy | TFLOP/s | of the product |
|---|--:|--:|--:|--:|--:|
| ceiling: device copy of 4096 MiB | 2000.0 | 4300 | 100.0 % | | |
| decode attention 32/8/128 bf16, batch 1, context 1024 | 12.0 | 350 | 8.0 % | | |
| decode attention 32/8/128 bf16, batch 32, context 4096 | 140.0 | 3800 | 88.0 % | | |
| decode attention 32/8/128 bf16, batch 64, context 4096 | 270.0 | 3900 | 91.0 % | | |
| decode attention 32/8/128 e4m3, batch 64, context 4096 | 160.0 | 3300 | 77.0 % | | |
| prefill attention 32/8/128, 2048 queries after 0 | 200.0 | | | 170.0 | 21 % |
| prefill attention, warpgroups, 32/8/128, 2048 queries after 0 | 90.0 | | | 380.0 | 48 % |
| decode attention 32/8/128 bf16 | µs, median | GB/s |
|---|--:|--:|
| SDPA, batch 1, context 1024 | 10.0 | 420 |
| SDPA, batch 64, context 4096 | 300.0 | 3580 |
| FlexAttention, batch 64, context 4096 | RuntimeError: no | |
| prefill attention 32/8/128, causal | µs, median | TFLOP/s |
|---|--:|--:|
| SDPA, 2048 queries | 95.0 | 360 |
| transformers generate, Qwen3-0.6B shape, 256 + 256 tokens | tok/s |
|---|--:|
| batch 1 | 40 |
| batch 256 | 5000 |
minute 1: 96 requests
minute 2: 192 requests
`;

const found = (goals: readonly Goal[], what: string): Goal =>
  goals.find((goal) => goal.what.startsWith(what))!;

describe('what is asked of the CUDA backend', () => {
  const goals = goalsOf(report);

  test.each([
    ['kernels within', true, '700 cases passed, 0 failed, 12 of 12 parts'],
    ['compute-sanitizer racecheck', false, '11 of 12 parts clean'],
    ['compute-sanitizer memcheck', undefined, 'not measured'],
    ["greedy output as the CPU's", false, '198 of 200; 2 part at a tie of 0.05 nats, 0 elsewhere'],
    ['greedy output in a batch', true, '200 of 200'],
    ['decode attention, 128k', true, '88.0 % to 91.0 %'],
    ['the same with fp8 pages', true, '1.69x to 1.69x'],
    ['decode attention beside', false, 'worst: 1.20 of its time (batch 1, context 1024, SDPA), of 2 points'],
    ['prefill attention beside', true, 'worst: 0.95 of its time (2048 queries, SDPA), of 1 points'],
    ['8B, batch 1', false, '229 tok/s'],
    ['8B, prompts', true, '20000 tok/s to 36000 tok/s'],
    ['256 requests', true, '20000 tok/s'],
    ['the same beside `generate` one by one', true, '500.0x'],
    ['the same beside its best static batch', undefined, '4.00x'],
    ['mixed load', false, '2 minutes'],
  ])('reads off reports: %s', (what, holds, text) => {
    expect(found(goals, what)).toMatchObject({ holds, found: text });
  });

  test('counts the bytes of a step of the 8B shape', () => {
    // 15.0 GB of weights and 64 caches of 1056 tokens, 128 KiB each, at 4300 GB/s: 5.55 ms.
    expect(found(goals, '8B, batch 64').found).toBe('52 % (6000 tok/s)');
  });

  test('says what is not measured, and never that it holds', () => {
    const none = goalsOf('');
    expect(none.map(({ holds }) => holds).every((holds) => holds === undefined)).toBe(true);
    expect(goalsTable(none).split('\n')).toHaveLength(none.length + 2);
    expect(goalsTable(none)).toContain('| not measured |');
  });

  test('does not take a load that failed for one that held', () => {
    const minutes = Array.from({ length: 11 }, (_, i) => `minute ${i + 1}: x`).join('\n');
    expect(found(goalsOf(minutes), 'mixed load').holds).toBe(true);
    expect(found(goalsOf(`${minutes}\nmixed load: failed with status 1`), 'mixed load').holds).toBe(false);
  });
});
