/** SplitMix64 over (engine seed, arrival): each sequence draws its own random numbers. */
export function mixSeed(seed: bigint, arrival: number): bigint {
  let z = BigInt.asUintN(64, seed + BigInt(arrival + 1) * 0x9e3779b97f4a7c15n);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}
