import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeldPrompts, type HeldRuns } from '../../src/pool/held-prompts.ts';
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
  it('counts once what several requests share, and apart what one holds alone', () => {
    const prompts = new HeldPrompts();
    const [here, there] = [
      { serial: 0, all: 0, alone: 0 },
      { serial: 1, all: 0, alone: 0 },
    ];
    const first = prompts.add(here, prompt([1, 2, 3]), 1600);
    expect(here).toMatchObject({ all: 1600, alone: 1600 });
    const second = prompts.add(here, prompt([1, 2, 9]), 1536);
    expect(here).toMatchObject({ all: 1600 + 512, alone: 576 + 512 });
    prompts.add(there, prompt([1, 2, 3]), 1600);
    expect(there).toMatchObject({ all: 1600, alone: 1600 });
    prompts.remove(here, first);
    expect(here).toMatchObject({ all: 1536, alone: 1536 });
    prompts.remove(here, second);
    expect(here).toMatchObject({ all: 0, alone: 0 });
  });

  it('tells how much of a prompt others hold, with small blocks too', () => {
    const prompts = new HeldPrompts();
    prompts.add({ serial: 3, all: 0, alone: 0 }, prompt([1, 2, 3, 4], 64), 2048);
    expect(prompts.shared({ serial: 3 }, prompt([1, 2, 3, 4, 5], 64))).toBe(2048);
    expect(prompts.shared({ serial: 3 }, prompt([1, 2, 8], 64))).toBe(1024);
    expect(prompts.shared({ serial: 3 }, prompt([8, 2, 3], 64))).toBe(0);
    expect(prompts.shared({ serial: 4 }, prompt([1, 2], 64))).toBe(0);
  });

  it('agrees with sets of prefixes over any history', () => {
    const runs = fc.array(fc.nat(2), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), runs), { maxLength: 60 }), (steps) => {
        const prompts = new HeldPrompts();
        const held = { serial: 5, all: 0, alone: 0 };
        const present: { readonly runs: readonly number[]; readonly held: HeldRuns }[] = [];
        for (const [isEnd, all] of steps) {
          const ended = isEnd ? present.pop() : undefined;
          if (ended === undefined)
            present.push({ runs: all, held: prompts.add(held, prompt(all), all.length * 512) });
          else prompts.remove(held, ended.held);
          const holders = new Map<string, number>();
          for (const name of present.flatMap((each) =>
            each.runs.map((_, i) => each.runs.slice(0, i + 1).join()),
          )) {
            holders.set(name, (holders.get(name) ?? 0) + 1);
          }
          expect(held.all).toBe(holders.size * 512);
          expect(held.alone).toBe([...holders.values()].filter((count) => count === 1).length * 512);
        }
      }),
    );
  });
});
