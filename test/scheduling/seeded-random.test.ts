import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/scheduling/seeded-random.ts';

describe('a seeded random', () => {
  it('goes on from its state, past what is skipped, and anew', () => {
    const random = seededRandom(7);
    const numbers = [random(), random(), random(), random()];
    random.restart(7);
    expect(random()).toBe(numbers[0]);
    const copy = seededRandom(random.state());
    expect([copy(), copy()]).toEqual(numbers.slice(1, 3));
    random.skip(2);
    expect(random()).toBe(numbers[3]);
  });
});
