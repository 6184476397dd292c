import { performance } from 'node:perf_hooks';
import type { loadConfiguration } from '../../src/configuration/index.ts';
import type * as Picker from '../../src/endpoint-picker/endpoint-picker.ts';
import type * as Pool from '../../src/pool/inference-pool.ts';
import type * as Index from '../../src/prefix-index/approximate-index.ts';
import type * as Profile from '../../src/scheduling/profile.ts';
import type * as Telemetry from '../../src/telemetry/index.ts';

/** What of a build the product is made of: this one's, or another's that is loaded beside it. */
export type Build = { readonly loadConfiguration: typeof loadConfiguration } & Pick<
  typeof Index & typeof Pool & typeof Profile & typeof Picker & typeof Telemetry,
  | 'ApproximateIndex'
  | 'InferencePool'
  | 'createProfile'
  | 'createEndpointPicker'
  | 'createMetrics'
  | 'observers'
  | 'requestLog'
  | 'silentLog'
>;

/** The default profile over a pool of so many endpoints that have answered their scrape, and what serving it needs. */
export async function createProduct(build: Build, endpoints: number) {
  const clock = () => performance.now();
  const { configuration, profile } = await build.loadConfiguration();
  const prefixIndex = new build.ApproximateIndex(configuration.prefixIndex);
  const pool = new build.InferencePool({ clock, prefixIndex });
  for (let i = 0; i < endpoints; i++) {
    const endpoint = pool.upsert({ name: `pod-${i}`, address: `10.0.0.${i + 1}:8000` });
    pool.beginScrape(endpoint);
    pool.recordScrape(endpoint, {
      queuedRequests: 0,
      runningRequests: 0,
      kvCacheUsage: 0.1,
      blockSizeTokens: 16,
      totalBlocks: 32_768,
      runningAdapters: [],
      waitingAdapters: [],
      maxAdapters: undefined,
    });
  }
  const metrics = build.createMetrics({ snapshot: () => pool.snapshot(clock()), version: 'bench' });
  const built = build.createProfile({ name: 'default', ...profile });
  const picker = build.createEndpointPicker({
    pool,
    profile: () => built,
    prefixIndex,
    clock,
    random: Math.random,
    observer: build.observers(metrics.observer, build.requestLog(build.silentLog)),
  });
  const limits = {
    maxBodyBytes: 64 << 20,
    blockTokens: configuration.prefixIndex.blockTokens,
    maxPrefixTokens: configuration.prefixIndex.maxPromptTokens,
  };
  return { picker, limits, log: build.silentLog, streams: metrics.streams };
}
