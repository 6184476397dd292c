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
      { serial: 0, all: 0, alone: 0, left: 0 },
      { serial: 1, all: 0, alone: 0, left: 0 },
    ];
    const first = prompts.add(here, prompt([1, 2, 3]), 1600, 0);
    expect(here).toMatchObject({ all: 1600, alone: 1600 });
    const second = prompts.add(here, prompt([1, 2, 9]), 1536, 0);
    expect(here).toMatchObject({ all: 1600 + 512, alone: 576 + 512 });
    prompts.add(there, prompt([1, 2, 3]), 1600, 0);
    expect(there).toMatchObject({ all: 1600, alone: 1600 });
    prompts.leave(here, first, 0);
    expect(here).toMatchObject({ all: 1536, alone: 1536 });
    prompts.leave(here, second, 0);
    expect(here).toMatchObject({ all: 0, alone: 0 });
  });

  it('tells how much of a prompt others hold, with small blocks too', () => {
    const prompts = new HeldPrompts();
    prompts.add({ serial: 3, all: 0, alone: 0, left: 0 }, prompt([1, 2, 3, 4], 64), 2048, 0);
    expect(prompts.shared({ serial: 3 }, prompt([1, 2, 3, 4, 5], 64))).toBe(2048);
    expect(prompts.shared({ serial: 3 }, prompt([1, 2, 8], 64))).toBe(1024);
    expect(prompts.shared({ serial: 3 }, prompt([8, 2, 3], 64))).toBe(0);
    expect(prompts.shared({ serial: 4 }, prompt([1, 2], 64))).toBe(0);
  });

  it('counts what was just left where most of it is taken up again', () => {
    const prompts = new HeldPrompts();
    const held = { serial: 5, all: 0, alone: 0, left: 0 };
    const turn = (runs: readonly number[], nowMs: number) => {
      const taken = prompts.add(held, prompt(runs), runs.length * 512, nowMs);
      prompts.leave(held, taken, nowMs + 10);
    };
    const next = prompt([1, 2, 3, 4, 5]);
    turn([1, 2, 3, 4], 0);
    expect([prompts.awaitedTokens(held, 10), prompts.sharedOrAwaited(held, next, 10)]).toEqual([0, 0]);
    turn([1, 2, 3, 4, 5], 20);
    expect(prompts.awaitedTokens(held, 40)).toBe(5 * 512);
    expect([prompts.shared(held, next), prompts.sharedOrAwaited(held, next, 40)]).toEqual([0, 5 * 512]);
    // Of nine runs left, four were taken up in time.
    expect(prompts.awaitedTokens(held, 1000)).toBe(0);
    turn([6, 7, 8], 1010);
    expect([held.left, prompts.awaitedTokens(held, 1030)]).toEqual([3 * 512, 0]);
  });

  it('agrees with sets of prefixes over any history', () => {
    const runs = fc.array(fc.nat(2), { minLength: 1, maxLength: 5 });
    const step = fc.record({ isEnd: fc.boolean(), runs, afterMs: fc.nat(150) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const prompts = new HeldPrompts();
        const held = { serial: 5, all: 0, alone: 0, left: 0 };
        const present: { readonly runs: readonly number[]; readonly held: HeldRuns }[] = [];
        const ends: { readonly runs: readonly number[]; readonly atMs: number }[] = [];
        let nowMs = 0;
        for (const { isEnd, runs: all, afterMs } of steps) {
          nowMs += afterMs;
          const ended = isEnd ? present.pop() : undefined;
          if (ended === undefined)
            present.push({ runs: all, held: prompts.add(held, prompt(all), all.length * 512, nowMs) });
          else {
            prompts.leave(held, ended.held, nowMs);
            ends.push({ runs: ended.runs, atMs: nowMs });
          }
          const holders = new Map<string, number>();
          for (const name of present.flatMap(prefixesOf)) holders.set(name, (holders.get(name) ?? 0) + 1);
          const recent = ends.filter(({ atMs }) => nowMs < atMs + 200).flatMap(prefixesOf);
          const left = new Set(recent.filter((name) => !holders.has(name)));
          expect(held.all).toBe(holders.size * 512);
          expect(held.alone).toBe([...holders.values()].filter((count) => count === 1).length * 512);
          expect(held.left).toBe(left.size * 512);
          expect(prompts.awaitedTokens(held, nowMs)).toBeLessThanOrEqual(held.left);
        }
      }),
    );
  });
});

function prefixesOf({ runs }: { readonly runs: readonly number[] }): readonly string[] {
  return runs.map((_, i) => runs.slice(0, i + 1).join());
}
