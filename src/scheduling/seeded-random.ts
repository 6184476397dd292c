/** Uniform in [0, 1). */
export interface SeededRandom {
  (): number;
  /** A seed that yields the same numbers from here on. */
  state(): number;
  /** Goes past the next `count` numbers. O(1). */
  skip(count: number): void;
  /** Begins with another seed. */
  restart(seed: number): void;
}

const step = 0x6d2b79f5;

/** The same numbers on every machine for the same seed of 32 bits (mulberry32). */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const next = () => {
    state = (state + step) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return Object.assign(next, {
    state: () => state,
    skip: (count: number) => {
      state = (state + Math.imul(step, count)) >>> 0;
    },
    restart: (newSeed: number) => {
      state = newSeed >>> 0;
    },
  });
}
