/** Seeded randomness. Every stream has a name, so one stream drawing more never shifts another. */

/** Uniform in [0, 1). */
export type Random = () => number;

/** xoshiro128** (Blackman and Vigna 2018), seeded through splitmix32 from the seed and the stream's name. */
export function seededRandom(seed: number, stream: string): Random {
  let state = mix32(seed) ^ hashText(stream);
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    return mix32(state);
  };
  let a = next();
  let b = next();
  let c = next();
  let d = next() | 1;
  return () => {
    const scrambled = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return scrambled / 4294967296;
  };
}

/** A gap of a Poisson process, in the unit of `mean`. */
export function exponential(random: Random, mean: number): number {
  return -Math.log(1 - random()) * mean;
}

/** Box-Muller; one of the pair is thrown away so that the stream has no hidden state. */
export function normal(random: Random, mean: number, deviation: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()));
  return mean + deviation * radius * Math.cos(2 * Math.PI * random());
}

/** `exp(normal(mu, sigma))`; its median is `exp(mu)`, its mean `exp(mu + sigma^2 / 2)`. */
export function lognormal(random: Random, mu: number, sigma: number): number {
  return Math.exp(normal(random, mu, sigma));
}

/** Uniform integer in [low, high]. */
export function uniformInteger(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1));
}

/** A bijection of 32-bit integers that spreads neighbours (murmur3's finalizer). */
export function mix32(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** FNV-1a. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
