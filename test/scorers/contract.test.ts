/** What every scorer must hold, run over each file in `scorers/`; a new file is tested by being there. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint, ScorerDefinition } from '../../src/scheduling/index.ts';
import { makeContext, makeEndpoint, makeEndpoints, seededRandom } from '../scheduling/support.ts';

const folder = new URL('../../scorers/', import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith('.ts'));

const figure = fc.oneof(fc.constant(0), fc.nat(10_000), fc.double({ min: 0, max: 1e9, noNaN: true }));
const adapterNames = fc.subarray(['x', 'y', 'z']);
const anyEndpoint = fc.record({
  metrics: fc.record({
    queuedRequests: figure,
    runningRequests: figure,
    kvCacheUsage: fc.double({ min: 0, max: 1, noNaN: true }),
    blockSizeTokens: fc.constantFrom(undefined, 16),
    totalBlocks: fc.constantFrom(undefined, 1000),
    runningAdapters: adapterNames,
    waitingAdapters: adapterNames,
    maxAdapters: fc.constantFrom(undefined, 0, 2),
    ageMs: fc.constantFrom(0, 150, 60_000, Number.POSITIVE_INFINITY),
  }),
  inFlight: fc.record({
    requests: fc.nat(500),
    sentSinceScrape: fc.nat(500),
    waitingForFirstToken: fc.nat(500),
    promptTokens: fc.nat(1_000_000),
    uncachedTokens: fc.nat(1_000_000),
  }),
});
const anyEndpoints = fc
  .array(anyEndpoint, { maxLength: 12 })
  .map((parts) => parts.map((part, slot) => makeEndpoint({ ...part, slot })));
const anyRequest = fc.record({
  model: fc.constantFrom(undefined, 'base', 'x'),
  promptTokens: fc.constantFrom(0, 1, 1000, 100_000),
  headers: fc.constantFrom(new Map<string, string>(), new Map([['x-session-id', 's-1']])),
});

describe.each(files)('scorer %s', async (file) => {
  const module = (await import(`${folder}${file}`)) as { default: ScorerDefinition };
  const definition = module.default;
  const create = () => definition.create(definition.defaults);

  it('exports a definition with a description by default', () => {
    expect(definition.kind).toBe('scorer');
    expect(definition.description).toMatch(/\.$/);
    expect(Object.isFrozen(definition.defaults)).toBe(true);
    expect(create()).toBeTypeOf('function');
  });

  it('imports nothing but pointsman/scheduling', () => {
    const text = readFileSync(new URL(file, folder), 'utf8');
    const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, name]) => name);
    expect(new Set(imports)).toEqual(new Set(['pointsman/scheduling']));
  });

  it.each([0, 1, 100])('gives one score each to %d endpoints', (count) => {
    expect(create()(makeContext(), makeEndpoints(count))).toHaveLength(count);
  });

  it('gives finite scores in [0, 1], the same for the same context, and changes nothing', () => {
    fc.assert(
      fc.property(anyEndpoints, anyRequest, fc.array(fc.nat(1000)), (endpoints, request, cached) => {
        const context = () =>
          makeContext({ request, cached: cached.map((tokens) => Math.min(tokens, request.promptTokens)) });
        const before = JSON.stringify(endpoints);
        const scores = [...Array.from(create()(context(), Object.freeze(endpoints)))];
        for (const score of scores) {
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1);
        }
        expect(Array.from(create()(context(), endpoints))).toEqual(scores);
        expect(JSON.stringify(endpoints)).toBe(before);
      }),
    );
  });

  it('does not use chance', () => {
    const random = () => {
      throw new Error('a scorer must be deterministic');
    };
    create()(
      makeContext({ random, request: { headers: new Map([['x-session-id', 'a']]) } }),
      makeEndpoints(3),
    );
  });

  it('does not put an endpoint that has told nothing above the best that has', () => {
    const random = seededRandom(3);
    const unseen: Endpoint = makeEndpoint({ slot: 3, metrics: { ageMs: Number.POSITIVE_INFINITY } });
    const told = makeEndpoints(3, () => ({
      metrics: {
        queuedRequests: Math.floor(random() * 20),
        runningRequests: Math.floor(random() * 50),
        kvCacheUsage: random(),
      },
    }));
    const scores = Array.from(create()(makeContext(), [...told, unseen]));
    expect(scores[3]).toBeLessThanOrEqual(Math.max(...scores.slice(0, 3)));
  });

  it('refuses parameters of the wrong range with a message that names the parameter', () => {
    for (const [name, value] of Object.entries(definition.defaults)) {
      const wrong = typeof value === 'number' ? -1 : typeof value === 'string' ? '' : undefined;
      if (wrong === undefined) continue;
      expect(() => definition.create({ ...definition.defaults, [name]: wrong })).toThrow(name);
    }
  });
});
