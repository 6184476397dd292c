import { bestFirst } from '../best-first.ts';
import { definePicker, type Picker, type ScoredEndpoint } from '../plugins.ts';
import { shuffle } from '../shuffle.ts';

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
  const isBest = new Uint8Array(count);
  for (const place of best) isBest[place] = 1;
  const places: number[] = [];
  for (let place = 0; place < count; place++) places.push(place);
  return shuffle(places, random).find((place) => isBest[place] === 1)!;
}
