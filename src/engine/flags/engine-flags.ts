import type { EngineFlag } from './engine-flag.ts';
import { kvCacheFlags } from './kv-cache-flags.ts';
import { modelFlags } from './model-flags.ts';
import { schedulingFlags } from './scheduling-flags.ts';
import { servingFlags } from './serving-flags.ts';
import { textFlags } from './text-flags.ts';

/** The flags of `pointsman engine MODEL`, by theme. A boolean flag also has its `--no-` form. */
export const engineFlags: readonly EngineFlag[] = [
  ...servingFlags,
  ...modelFlags,
  ...textFlags,
  ...schedulingFlags,
  ...kvCacheFlags,
];

/** vLLM's switches that change nothing here: its command lines work as they are. */
export const flagsWithoutMeaning: readonly string[] = [
  'async-scheduling',
  'disable-log-requests',
  'disable-log-stats',
  'enable-prompt-tokens-details',
  'enforce-eager',
  'trust-remote-code',
];
