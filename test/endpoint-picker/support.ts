import kvCacheUsage from '../../scorers/kv-cache-usage.ts';
import prefixCache from '../../scorers/prefix-cache.ts';
import queueDepth from '../../scorers/queue-depth.ts';
import shadowPrice from '../../scorers/shadow-price.ts';
import type { DecisionRecord } from '../../src/endpoint-picker/decision-record.ts';
import { createEndpointPicker } from '../../src/endpoint-picker/endpoint-picker.ts';
import type { FinishedRequest, PickerObserver } from '../../src/endpoint-picker/finished-request.ts';
import type { FlowControlSettings } from '../../src/endpoint-picker/late-binding.ts';
import { unknownMetrics } from '../../src/pool/endpoint-state.ts';
import { InferencePool } from '../../src/pool/inference-pool.ts';
import { ApproximateIndex, type ApproximateIndexOptions, hashBlocks } from '../../src/prefix-index/index.ts';
import model from '../../src/scheduling/filters/model.ts';
import ready from '../../src/scheduling/filters/ready.ts';
import type { EndpointMetrics, InferenceRequest } from '../../src/scheduling/index.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';
import { createProfile, type Profile } from '../../src/scheduling/profile.ts';
import { makeRequest, seededRandom } from '../scheduling/support.ts';

export const blockTokens = 64;

type Scorers = Parameters<typeof createProfile>[0]['scorers'];

function profileOf(name: string, scorers: Scorers): Profile {
  return createProfile({
    name,
    filters: [
      { name: 'ready', filter: ready.create({}) },
      { name: 'model', filter: model.create({}) },
    ],
    scorers,
    picker: { name: 'max-score', picker: maxScore.create({}) },
  });
}

/** What the default configuration has, without waiting. */
export function defaultProfile(): Profile {
  return profileOf('default', [
    { name: 'shadow-price', weight: 1, scorer: shadowPrice.create(shadowPrice.defaults) },
  ]);
}

/** Weighted scorers of unlike units, as users may put them together. */
export function blendProfile(): Profile {
  return profileOf('blend', [
    { name: 'prefix-cache', weight: 2, scorer: prefixCache.create({}) },
    { name: 'queue-depth', weight: 3, scorer: queueDepth.create(queueDepth.defaults) },
    { name: 'kv-cache-usage', weight: 1, scorer: kvCacheUsage.create({}) },
  ]);
}

export interface Rejected {
  readonly code: string;
  readonly hasRecord: boolean;
  readonly waitedMs: number;
}

/** A picker with the real pool, profile and index, a clock to turn by hand, and ready endpoints. */
export function createFleet({
  endpoints = 2,
  profile = defaultProfile(),
  index = {},
  flowControl,
  onDecision,
}: {
  readonly endpoints?: number;
  readonly profile?: Profile;
  readonly index?: Partial<ApproximateIndexOptions>;
  readonly flowControl?: FlowControlSettings;
  readonly onDecision?: (record: DecisionRecord) => void;
} = {}) {
  const clock = { nowMs: 1000 };
  const finished: FinishedRequest[] = [];
  const rejected: Rejected[] = [];
  const observer: PickerObserver = {
    onFinished: (request) => finished.push(request),
    onRejected: ({ code, record, waitedMs }) =>
      rejected.push({ code, hasRecord: record !== undefined, waitedMs }),
  };
  const prefixIndex = new ApproximateIndex({ blockTokens, blocksPerEndpoint: 10_000, ...index });
  const pool = new InferencePool({ clock: () => clock.nowMs, prefixIndex });
  const state = { profile };
  const picker = createEndpointPicker({
    pool,
    profile: () => state.profile,
    prefixIndex,
    clock: () => clock.nowMs,
    random: seededRandom(11),
    observer,
    keptRecords: 8,
    flowControl,
    onDecision,
  });
  const fleet = {
    clock,
    finished,
    rejected,
    prefixIndex,
    pool,
    picker,
    state,
    scrape(name: string, metrics: Partial<Omit<EndpointMetrics, 'ageMs'>> = {}): void {
      const endpoint = pool.snapshot(clock.nowMs).find((known) => known.name === name)!;
      pool.beginScrape(endpoint);
      pool.recordScrape(endpoint, { ...unknownMetrics, ...metrics });
    },
    endpoint(name: string) {
      return pool.snapshot(clock.nowMs).find((known) => known.name === name)!;
    },
    pick(request: Partial<InferenceRequest> = {}, subset?: readonly string[]) {
      return picker.pick(makeRequest(request), { subset, signal: new AbortController().signal });
    },
  };
  for (let i = 0; i < endpoints; i++) {
    pool.upsert({ name: `e${i}`, address: `10.0.0.${i + 1}:8000` });
    fleet.scrape(`e${i}`);
  }
  return fleet;
}

/** A request with this text as its prompt, parsed as adapters do: 4 bytes a token. */
export function promptOf(text: string, seed = ''): Pick<InferenceRequest, 'promptTokens' | 'prefix'> {
  const bytes = Buffer.from(text);
  return {
    promptTokens: Math.ceil(bytes.length / 4),
    prefix: hashBlocks(seed, [bytes], { blockTokens, maxTokens: 100_000 }),
  };
}
