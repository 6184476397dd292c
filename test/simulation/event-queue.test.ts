import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue } from '../../src/simulation/event-queue.ts';

function drain(queue: EventQueue): [timeMs: number, target: number, version: number][] {
  const events: [number, number, number][] = [];
  while (queue.pop()) events.push([queue.timeMs, queue.target, queue.version]);
  return events;
}

describe('EventQueue', () => {
  it('gives events by time, and equal times in the order of their pushes', () => {
    const times = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 300 });
    fc.assert(
      fc.property(times, (pushed) => {
        const queue = new EventQueue(2);
        for (const [index, time] of pushed.entries()) queue.push(time, index, index + 1);
        const expected = pushed
          .map((time, index): [number, number, number] => [time, index, index + 1])
          .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        expect(drain(queue)).toEqual(expected);
      }),
    );
  });

  it('keeps the order while events come and go', () => {
    const steps = fc.array(fc.option(fc.double({ min: 0, max: 1e6, noNaN: true })), { maxLength: 300 });
    fc.assert(
      fc.property(steps, (operations) => {
        const queue = new EventQueue(1);
        const open: number[] = [];
        for (const operation of operations) {
          if (operation !== null) {
            queue.push(operation, 0, 0);
            open.push(operation);
            continue;
          }
          open.sort((a, b) => a - b);
          const expected = open.shift();
          expect(queue.nextTimeMs).toBe(expected ?? Number.POSITIVE_INFINITY);
          expect(queue.pop()).toBe(expected !== undefined);
          if (expected !== undefined) expect(queue.timeMs).toBe(expected);
        }
        expect(queue.size).toBe(open.length);
      }),
    );
  });
});
