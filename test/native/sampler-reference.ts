import type { Sampling } from './sequences.ts';

const MASK = (1n << 64n) - 1n;

/** splitmix64's output function, as in numbers.h. */
function mix(input: bigint): bigint {
  let x = (input + 0x9e3779b97f4a7c15n) & MASK;
  x = ((x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  x = ((x ^ (x >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return x ^ (x >> 31n);
}

function uniform(seed: bigint, draw: number): number {
  return Number(mix((mix(seed) + BigInt(draw) * 0xd1342543de82ef95n) & MASK) >> 11n) / 2 ** 53;
}

/** The definition of sampling in double arithmetic with full sorts; the token that native code should choose. */
export function sampleReference(raw: readonly number[], s: Sampling): number {
  const logits = penalized(raw, s);
  const byBest = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
  const temperature = s.temperature ?? 0;
  if (temperature === 0) return byBest[0]!;
  const weights = logits.map((l) => Math.exp((l - logits[byBest[0]!]!) / temperature));
  const kept = keptIds(logits, weights, byBest, s);
  const total = kept.reduce((sum, id) => sum + weights[id]!, 0);
  let left = uniform(s.seed ?? 0n, s.draw ?? 0) * total;
  for (const id of kept) {
    left -= weights[id]!;
    if (left < 0) return id;
  }
  return kept.at(-1)!;
}

function penalized(raw: readonly number[], s: Sampling): number[] {
  const logits = [...raw];
  for (const [id, value] of s.bias ?? []) logits[id] = logits[id]! + value;
  const repetition = s.repetitionPenalty ?? 1;
  for (const id of new Set([...(s.prompt ?? []), ...(s.output ?? [])])) {
    logits[id] = logits[id]! > 0 ? logits[id]! / repetition : logits[id]! * repetition;
  }
  for (const id of s.output ?? []) logits[id]! -= s.frequencyPenalty ?? 0;
  for (const id of new Set(s.output ?? [])) logits[id]! -= s.presencePenalty ?? 0;
  return logits;
}

/** Ids that top-k, then top-p, then min-p leave, ascending. */
function keptIds(
  logits: readonly number[],
  weights: readonly number[],
  byBest: readonly number[],
  s: Sampling,
): readonly number[] {
  const k = s.topK ?? 0;
  let kept = byBest.filter(
    (id) => k === 0 || logits[id]! >= logits[byBest[Math.min(k, byBest.length) - 1]!]!,
  );
  const total = kept.reduce((sum, id) => sum + weights[id]!, 0);
  let before = 0;
  kept = kept.filter((id) => {
    const stays = before < (s.topP ?? 1) * total || (s.topP ?? 1) === 1;
    before += weights[id]!;
    return stays;
  });
  return kept.filter((id) => weights[id]! >= (s.minP ?? 0)).sort((a, b) => a - b);
}
