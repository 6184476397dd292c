import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Waiting, WaitingLine } from '../../src/simulation/waiting-line.ts';

function waiting(request: number, ownMs: number, arrivalMs = 0): Waiting<number> {
  return { request, promptTokens: 1, arrivalMs, ownMs, uncachedBySlot: [], lookedUpMs: 0 };
}

function order(line: WaitingLine<number>): number[] {
  return Array.from({ length: line.size }, (_, i) => line.at(i).request);
}

describe('WaitingLine', () => {
  it('puts the shortest first, and an older one before a shorter one in time', () => {
    const line = new WaitingLine<number>(0.1);
    line.add(waiting(1, 500, 0));
    line.add(waiting(2, 300, 1000));
    line.add(waiting(3, 300, 4000));
    expect(order(line)).toEqual([2, 1, 3]);
  });

  it('keeps order and sum over any history', () => {
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), ownMs: fc.nat(50) }),
      fc.record({ kind: fc.constant('change' as const), index: fc.nat(30), ownMs: fc.nat(50) }),
      fc.record({ kind: fc.constant('remove' as const), index: fc.nat(30) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
        const line = new WaitingLine<number>(0.5);
        let nowMs = 0;
        for (const step of operations) {
          nowMs++;
          if (step.kind === 'add') line.add(waiting(nowMs, step.ownMs, nowMs));
          else if (step.index < line.size) {
            const chosen = line.at(step.index);
            if (step.kind === 'remove') line.remove(chosen);
            else line.reestimate(chosen, step.ownMs);
            line.restoreOrder();
          }
          const all = Array.from({ length: line.size }, (_, i) => line.at(i));
          const keys = all.map(({ ownMs, arrivalMs }) => ownMs + 0.5 * arrivalMs);
          expect(keys).toEqual(keys.toSorted((a, b) => a - b));
          expect(line.ownMs).toBe(all.reduce((sum, { ownMs }) => sum + ownMs, 0));
        }
      }),
    );
  });
});
