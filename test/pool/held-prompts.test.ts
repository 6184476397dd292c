import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeldPrompts } from '../../src/pool/held-prompts.ts';
import type { PrefixHashes } from '../../src/scheduling/inference-request.ts';

/** A prompt of runs of 512 tokens, named by numbers; equal beginnings have equal hashes. */
function prompt(runs: readonly number[], blockTokens = 512): PrefixHashes {
  const perRun = 512 / blockTokens;
  const count = runs.length * perRun;
  const low = new Uint32Array(count);
  const high = new Uint32Array(count);
  let chain = 7;
  for (let i = 0; i < count; i++) {
    chain = Math.imul(chain ^ (runs[Math.floor(i / perRun)]! + 1), 0x85ebca6b) ^ i;
    low[i] = chain;
    high[i] = Math.imul(chain, 0x9e3779b1);
  }
  return { count, low, high, blockTokens };
}

describe('HeldPrompts', () => {
  it('counts once what several requests share', () => {
    const held = new HeldPrompts();
    expect(held.add(0, prompt([1, 2, 3]), 1600)).toBe(1600);
    expect(held.add(0, prompt([1, 2, 9]), 1536)).toBe(512);
    expect(held.add(1, prompt([1, 2, 3]), 1600)).toBe(1600);
    expect(held.remove(0, prompt([1, 2, 3]), 1600)).toBe(512 + 64);
    expect(held.remove(0, prompt([1, 2, 9]), 1536)).toBe(1536);
  });

  it('tells how much of a prompt others hold, with small blocks too', () => {
    const held = new HeldPrompts();
    held.add(3, prompt([1, 2, 3, 4], 64), 2048);
    expect(held.shared(3, prompt([1, 2, 3, 4, 5], 64))).toBe(2048);
    expect(held.shared(3, prompt([1, 2, 8], 64))).toBe(1024);
    expect(held.shared(3, prompt([8, 2, 3], 64))).toBe(0);
    expect(held.shared(4, prompt([1, 2], 64))).toBe(0);
  });

  it('agrees with sets of prefixes over any history', () => {
    const runs = fc.array(fc.nat(2), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(1), runs), { maxLength: 60 }), (steps) => {
        const held = new HeldPrompts();
        const present: (readonly [number, readonly number[]])[] = [];
        const distinct = () => {
          const names = present.flatMap(([owner, all]) =>
            all.map((_, i) => `${owner}:${all.slice(0, i + 1).join()}`),
          );
          return new Set(names).size * 512;
        };
        let tokens = 0;
        for (const [isEnd, owner, all] of steps) {
          const ended = isEnd ? present.pop() : undefined;
          if (ended !== undefined) tokens -= held.remove(ended[0], prompt(ended[1]), ended[1].length * 512);
          else {
            present.push([owner, all]);
            tokens += held.add(owner, prompt(all), all.length * 512);
          }
          expect(tokens).toBe(distinct());
        }
      }),
    );
  });
});
