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
  'disable-frontend-multiprocessing',
  'disable-log-requests',
  'disable-log-stats',
  'disable-uvicorn-access-log',
  'enable-log-requests',
  'enable-prompt-tokens-details',
  'enable-server-load-tracking',
  'enable-ssl-refresh',
  'enforce-eager',
  'exclude-tools-when-tool-choice-none',
  'trust-remote-code',
];

/** vLLM's flags with a value whose effect would be missed here, each with what to do instead. */
export const flagsNotServed: Readonly<Record<string, string>> = {
  'kv-transfer-config': 'this engine hands no KV blocks to others; leave it out.',
  'kv-offloading-size': 'this engine keeps KV blocks in one place; raise --kv-cache-memory-bytes.',
  'kv-offloading-backend': 'this engine keeps KV blocks in one place; leave it out.',
  'cudagraph-capture-sizes': 'graphs are captured for the sizes that come; leave it out.',
  'structured-outputs-config': 'there is one way to hold answers to a structure here, and it is on.',
  'tool-parser-plugin': 'parsers are built in; see --tool-call-parser.',
  'hf-overrides': 'change config.json in the model folder.',
  'root-path': 'this engine serves at the root; let the proxy cut the prefix.',
  'data-parallel-rank': 'more engines behind one gateway serve in parallel.',
  'cpu-offload-gb': 'weights are in one memory here: that of --device.',
};
