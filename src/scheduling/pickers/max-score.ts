import { bestFirst } from '../best-first.ts';
import { definePicker, type Picker, type ScoredEndpoint } from '../plugins.ts';
import { shuffle, shuffleInPlace } from '../shuffle.ts';

/** Best total first. Equal totals are ordered at random, or every tie would load the same endpoint. */
export default definePicker({
  description: 'Takes the endpoint with the highest total; ties at random.',
  create: (): Picker =>
    Object.assign(
      ((context, scored) => bestFirst(shuffle(scored, context.random), totalOf)) satisfies Picker,
      { first: firstInShuffle, drawsOf: (count: number) => Math.max(0, count - 1) },
    ),
});

function totalOf({ total }: ScoredEndpoint): number {
  return total;
}

/** Which of the best stands first once all are shuffled. */
function firstInShuffle(random: () => number, count: number, best: readonly number[]): number {
  // Of the others it does not matter where they come to stand.
  const numbers = new Int32Array(count);
  for (let i = 0; i < best.length; i++) numbers[best[i]!] = i + 1;
  shuffleInPlace(numbers, random);
  return best[numbers.find((number) => number > 0)! - 1]!;
}
