import type { EngineFlag } from './engine-flag.ts';

/** How the engine is reached and what its answers carry. */
export const servingFlags: readonly EngineFlag[] = [
  { name: 'host', option: 'host', type: 'string', default: '127.0.0.1', help: 'Address to listen on.' },
  { name: 'port', option: 'port', type: 'integer', default: 8000, help: 'Port to listen on; 0 picks one.' },
  {
    name: 'uds',
    option: 'uds',
    type: 'string',
    default: undefined,
    help: 'Unix socket to listen on instead of a port.',
  },
  {
    name: 'config',
    option: 'config',
    type: 'string',
    default: undefined,
    help: 'YAML file with flags by name; the command line goes before it.',
  },
  {
    name: 'served-model-name',
    option: 'servedModelName',
    type: 'list',
    default: undefined,
    help: 'Names for the "model" field of requests; the first one labels metrics. Default: MODEL.',
  },
  {
    name: 'api-key',
    option: 'apiKey',
    type: 'string',
    default: undefined,
    help: 'Key that requests must bear; protects everything but /health, /ping and /metrics.',
  },
  {
    name: 'stream-interval',
    option: 'streamInterval',
    type: 'integer',
    default: 1,
    help: 'Tokens per event of a stream; the first and the last never wait.',
  },
  {
    name: 'enable-force-include-usage',
    option: 'enableForceIncludeUsage',
    type: 'boolean',
    default: false,
    help: 'Send usage at the end of every stream, asked for or not.',
  },
  {
    name: 'enable-request-id-headers',
    option: 'enableRequestIdHeaders',
    type: 'boolean',
    default: false,
    help: 'Answer with X-Request-Id: that of the request, or a new one.',
  },
  {
    name: 'max-logprobs',
    option: 'maxLogprobs',
    type: 'integer',
    default: 20,
    help: 'Log-probabilities per token that a request may ask for.',
  },
  {
    name: 'enable-responses-store',
    option: 'enableResponsesStore',
    type: 'boolean',
    default: false,
    help: 'Keep the latest 1,000 answers of /v1/responses in memory, for previous_response_id and GET.',
  },
  {
    name: 'enable-sleep-mode',
    option: 'enableSleepMode',
    type: 'boolean',
    default: false,
    help: 'Serves /sleep and /wake_up, which give the memory of weights and KV cache back and load again.',
  },
];
