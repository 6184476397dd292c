import { seededRandom } from '../../src/simulation/random.ts';

/** Draws of one case; the same seed and case give the same draws. */
export interface Dice {
  /** An integer in [0, limit). */
  below(limit: number): number;
  chance(probability: number): boolean;
  oneOf<T>(list: readonly T[]): T;
  bytes(count: number): Buffer;
}

export function diceOf(seed: number, stream: string): Dice {
  const random = seededRandom(seed, stream);
  const below = (limit: number): number => Math.floor(random() * limit);
  return {
    below,
    chance: (probability) => random() < probability,
    oneOf: (list) => list[below(list.length)]!,
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))),
  };
}
