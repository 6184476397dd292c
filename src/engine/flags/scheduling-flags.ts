import type { EngineFlag } from './engine-flag.ts';

/** What one step computes, and for whom. */
export const schedulingFlags: readonly EngineFlag[] = [
  {
    name: 'max-model-len',
    option: 'maxModelLen',
    type: 'size',
    default: undefined,
    help: 'Longest sequence, prompt and output. Default, or auto: the model’s own, or what the KV cache holds.',
  },
  {
    name: 'max-num-seqs',
    option: 'maxNumSeqs',
    type: 'integer',
    default: 256,
    help: 'Sequences that run at the same time.',
  },
  {
    name: 'max-num-batched-tokens',
    option: 'maxNumBatchedTokens',
    type: 'size',
    default: 2048,
    help: 'Tokens that one step computes. Less gives smoother streams, more gives faster prompts.',
  },
  {
    name: 'long-prefill-token-threshold',
    option: 'longPrefillTokenThreshold',
    type: 'integer',
    default: 0,
    help: 'Tokens of one prompt that one step computes; 0 leaves it to the step’s own limit.',
  },
  {
    name: 'max-num-partial-prefills',
    option: 'maxNumPartialPrefills',
    type: 'integer',
    default: undefined,
    help: 'Prompts that are computed in parts at the same time. Default: as many as tokens allow; above 1, parts are 4 % of --max-model-len unless --long-prefill-token-threshold says so.',
  },
  {
    name: 'max-long-partial-prefills',
    option: 'maxLongPartialPrefills',
    type: 'integer',
    default: undefined,
    help: 'Of those, prompts longer than a part; shorter ones go before further long ones. Default: 1 with --max-num-partial-prefills.',
  },
  {
    name: 'enable-chunked-prefill',
    option: 'enableChunkedPrefill',
    type: 'boolean',
    default: true,
    help: 'Compute long prompts over several steps, mixed with decoding.',
  },
  {
    name: 'async-scheduling',
    option: 'asyncScheduling',
    type: 'boolean',
    default: undefined,
    help: 'Plan and launch the next step while one is computed. Default: on a GPU, unless there is a --speculative-config.',
  },
  {
    name: 'scheduling-policy',
    option: 'schedulingPolicy',
    type: 'string',
    choices: ['fcfs', 'priority'],
    default: 'fcfs',
    help: 'Who runs first: by arrival, or by the request’s "priority", lower first.',
  },
  {
    name: 'speculative-config',
    option: 'speculativeConfig',
    type: 'json',
    default: undefined,
    help: 'Drafts tokens from the text itself, such as {"method":"ngram","num_speculative_tokens":4}.',
  },
];
