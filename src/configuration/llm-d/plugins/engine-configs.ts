import { z } from 'zod';

const text = z.string().default('');

/** One of `engineConfigs`: which metric of an engine tells what. Empty means that none does. */
export const engineConfig = z.strictObject({
  name: z.string().min(1),
  queuedRequestsSpec: text,
  runningRequestsSpec: text,
  kvUsageSpec: text,
  loraSpec: text,
  cacheInfoSpec: text,
  cacheBlockSizeLabelName: text,
  cacheNumBlocksLabelName: text,
  cacheBlockSizeSpec: text,
  cacheNumBlocksSpec: text,
  customMetrics: z
    .array(
      z.strictObject({
        attributeKey: z.string(),
        metricSpec: z.string(),
        optional: z.boolean().optional(),
      }),
    )
    .default([]),
});

/** The same as an entry of our `pool.engineMetrics`. */
export function toEngineMetrics(given: z.output<typeof engineConfig>): Readonly<Record<string, string>> {
  const entries: readonly (readonly [string, string])[] = [
    ['name', given.name],
    ['queuedRequests', given.queuedRequestsSpec],
    ['runningRequests', given.runningRequestsSpec],
    ['kvCacheUsage', given.kvUsageSpec],
    ['adapters', given.loraSpec],
    ['cacheConfig', given.cacheInfoSpec],
    ['blockSizeLabel', given.cacheBlockSizeLabelName],
    ['totalBlocksLabel', given.cacheNumBlocksLabelName],
    ['blockSize', given.cacheBlockSizeSpec],
    ['totalBlocks', given.cacheNumBlocksSpec],
  ];
  return Object.fromEntries(entries.filter(([, value]) => value !== ''));
}
