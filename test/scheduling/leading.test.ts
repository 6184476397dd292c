import { describe, expect, it } from 'vitest';
import shadowPrice from '../../scorers/shadow-price.ts';
import label from '../../src/scheduling/filters/label.ts';
import loraCapacity from '../../src/scheduling/filters/lora-capacity.ts';
import model from '../../src/scheduling/filters/model.ts';
import ready from '../../src/scheduling/filters/ready.ts';
import {
  createProfile,
  type Endpoint,
  type Profile,
  type SchedulingContext,
  type Scorer,
} from '../../src/scheduling/index.ts';
import { choiceOf, LedResult, spelledOut, withOutcome } from '../../src/scheduling/led-result.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';
import { type SeededRandom, seededRandom } from '../../src/scheduling/seeded-random.ts';
import { type EndpointParts, makeEndpoint, makeRequest } from './support.ts';

type Parameters = typeof shadowPrice.defaults;

function profileOf(parameters: Partial<Parameters>, weight: number, hasLead: boolean): Profile {
  const whole = shadowPrice.create({ ...shadowPrice.defaults, ...parameters });
  const { chosen } = whole;
  const scorer: Scorer = hasLead
    ? whole
    : Object.assign<Scorer, object>((context, endpoints) => whole(context, endpoints), { chosen });
  return createProfile({
    name: 'default',
    filters: [
      { name: 'ready', filter: ready.create({}) },
      { name: 'model', filter: model.create({}) },
      { name: 'lora-capacity', filter: loraCapacity.create({}) },
      { name: 'label', filter: label.create({ matchLabels: ['zone != c'] }) },
    ],
    scorers: [{ name: 'shadow-price', weight, scorer }],
    picker: { name: 'max-score', picker: maxScore.create({}) },
  });
}

/** A fleet that changes from decision to decision, some of it equal so that ties come about. */
class RandomFleet {
  readonly #random: SeededRandom;
  readonly #isUniform: boolean;
  endpoints: readonly Endpoint[];

  constructor(random: SeededRandom, size: number, isUniform: boolean) {
    this.#random = random;
    this.#isUniform = isUniform;
    this.endpoints = Array.from({ length: size }, (_, slot) => this.#make(slot * 2));
  }

  change(): void {
    if (this.#random() < 0.05) {
      const gone = this.#below(this.endpoints.length);
      this.endpoints = this.endpoints.filter((_, place) => place !== gone || place === 0);
    }
    this.endpoints = this.endpoints.map((endpoint) =>
      this.#random() < 0.1 ? this.#make(endpoint.slot) : endpoint,
    );
  }

  #make(slot: number): EndpointParts & Endpoint {
    const random = this.#random;
    const requests = this.#isUniform ? this.#below(2) : this.#below(40);
    const adapters = random() < 0.8 ? ['sql'] : [];
    return makeEndpoint({
      slot,
      isReady: random() < 0.97,
      labels: { zone: 'abc'[random() < 0.98 ? 0 : 2]! },
      models: random() < 0.95 ? ['m', 'sql'] : ['m'],
      adapters,
      metrics: {
        maxAdapters: 2,
        runningAdapters: random() < 0.9 ? ['sql'] : ['other', 'another'],
        kvCacheUsage: this.#isUniform ? 0.5 : random(),
      },
      inFlight: {
        requests,
        waitingForFirstToken: this.#below(requests + 1),
        uncachedTokens: this.#isUniform ? 0 : this.#below(20_000),
      },
      learned: this.#isUniform
        ? {}
        : {
            prefillShare: 1.2 * random(),
            freshAnswers: 3 * random(),
            othersPrefillMs: random() < 0.2 ? 100 * random() : 0,
            stepMs: 5 + 20 * random(),
            prefillMsPerToken: 0.02 + 0.02 * random(),
            kvCapacityTokens: random() < 0.1 ? undefined : 100_000,
          },
    });
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end);
  }
}

/** One decision's context; made twice, for two profiles. */
function contextOf(random: SeededRandom, { endpoints }: RandomFleet): () => SchedulingContext {
  const seed = Math.floor(random() * 2 ** 32);
  const promptTokens = Math.floor(random() * 12_000);
  const holding = random() < 0.5 ? 0 : 0.1;
  const holders = new Map(
    endpoints
      .filter(() => random() < holding)
      .map(({ slot }) => [slot, 1 + Math.floor(random() * promptTokens)] as const),
  );
  // Slots of endpoints that are not in the list hold things too.
  holders.set(999, promptTokens);
  const slo = {
    ttftMs: random() < 0.3 ? 1000 * random() : undefined,
    tpotMs: random() < 0.2 ? 30 * random() : undefined,
    isStrict: random() < 0.3,
  };
  const waitingMs = random() < 0.5 ? 0 : 1000 * random();
  const request = makeRequest({ model: random() < 0.5 ? 'm' : 'sql', promptTokens, slo });
  return () => ({
    request,
    nowMs: 0,
    random: seededRandom(seed),
    waitingMs,
    cachedTokens: ({ slot }) => Math.min(promptTokens, holders.get(slot) ?? 0),
    holders: () => [...holders.keys()],
  });
}

describe('a decision by lead', () => {
  const matrix = [
    { size: 1, weight: 1, parameters: {} },
    { size: 7, weight: 3, parameters: { sloFit: 'best-fit' } },
    { size: 40, weight: 1, parameters: {} },
    { size: 40, weight: 0.7, parameters: { sloFit: 'off' } },
    { size: 150, weight: 1, parameters: { congestion: 0, eviction: 0 } },
  ].flatMap((each) => [
    { ...each, isUniform: false },
    { ...each, isUniform: true },
  ]);

  it.each(matrix)('is the one that all scores lead to: %o', ({ size, weight, parameters, isUniform }) => {
    const random = seededRandom(size);
    const fleet = new RandomFleet(random, size, isUniform);
    const short = profileOf(parameters, weight, true);
    const long = profileOf(parameters, weight, false);
    let led = 0;
    let ties = 0;
    const late: [SchedulingContext, Endpoint[], LedResult, object][] = [];
    for (let i = 0; i < 150; i++) {
      fleet.change();
      const makeContext = contextOf(random, fleet);
      const [shortContext, longContext] = [makeContext(), makeContext()];
      const found = short.run(shortContext, fleet.endpoints);
      const expected = long.run(longContext, fleet.endpoints);
      expect(choiceOf(found)?.name).toBe(expected.ranking[0]?.name);
      expect(shortContext.random()).toBe(longContext.random());
      if (expected.tied > 1) ties++;
      if (!(found instanceof LedResult)) continue;
      led++;
      // Half of the records are read at once, the others when the fleet has long been another.
      if (i % 2 === 0) expect(spelledOut(found)).toEqual(expected);
      else late.push([shortContext, [...fleet.endpoints], found, expected]);
    }
    for (const [, , found, expected] of late) expect(spelledOut(found)).toEqual(expected);
    expect(led).toBeGreaterThan(50);
    if (isUniform && size > 1) expect(ties).toBeGreaterThan(20);
  });

  it('keeps one ranking, whoever asks for it', () => {
    const random = seededRandom(5);
    const fleet = new RandomFleet(random, 30, true);
    const result = profileOf({}, 1, true).propose(contextOf(random, fleet)(), fleet.endpoints);
    expect(result).toBeInstanceOf(LedResult);
    const outcome = { failures: [], queuedMs: 7, durationMs: 3 };
    const completed = withOutcome(result, outcome);
    expect(completed.ranking).toEqual(result.ranking);
    expect(completed).toMatchObject(outcome);
    expect(JSON.parse(JSON.stringify(completed))).toEqual(JSON.parse(JSON.stringify(spelledOut(completed))));
  });

  it('is not sought where the holders of the prompt are not known', () => {
    const random = seededRandom(6);
    const fleet = new RandomFleet(random, 10, false);
    const { holders: _, ...context } = contextOf(random, fleet)();
    expect(profileOf({}, 1, true).propose(context, fleet.endpoints)).not.toBeInstanceOf(LedResult);
  });

  it('goes the long way round a scorer that fails at it', () => {
    const random = seededRandom(7);
    const fleet = new RandomFleet(random, 10, false);
    const broken: Scorer = Object.assign<Scorer, object>((_context, { length }) => Array(length).fill(1), {
      lead: () => {
        throw new Error('no lead');
      },
    });
    const profile = createProfile({
      name: 'p',
      filters: [],
      scorers: [{ name: 'broken', weight: 1, scorer: broken }],
      picker: { name: 'max-score', picker: maxScore.create({}) },
    });
    expect(profile.propose(contextOf(random, fleet)(), fleet.endpoints).tied).toBe(fleet.endpoints.length);
  });
});
