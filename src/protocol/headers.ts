/** Header and metadata names of the Endpoint Picker Protocol, and the ones we add. All in lower case. */

export const destinationHeader = 'x-gateway-destination-endpoint';
export const destinationNamespace = 'envoy.lb';
export const servedEndpointKey = 'x-gateway-destination-endpoint-served';
/** In metadata beside the destination: address to score of each candidate. */
export const scoresKey = 'x-gateway-destination-endpoint-scores';
export const subsetNamespace = 'envoy.lb.subset_hint';
export const subsetKey = 'x-gateway-destination-endpoint-subset';
export const droppedReasonHeader = 'x-llm-d-request-dropped-reason';
export const requestIdHeader = 'x-request-id';
/** `true` asks for the decision in short; the answer is in `decisionHeader`. */
export const explainHeader = 'x-pointsman-explain';
export const decisionHeader = 'x-pointsman-decision';
/** Name of the endpoint that answered; only sent with an explanation, as it tells of the inside of a cluster. */
export const servedByHeader = 'x-pointsman-endpoint';

/** Read from requests; the first name wins, the others are older spellings. */
export const requestHeaders = {
  objective: ['x-llm-d-inference-objective', 'x-gateway-inference-objective'],
  tenant: ['x-llm-d-inference-fairness-id', 'x-gateway-inference-fairness-id'],
  ttftSloMs: ['x-llm-d-slo-ttft-ms', 'x-slo-ttft-ms'],
  tpotSloMs: ['x-llm-d-slo-tpot-ms', 'x-slo-tpot-ms'],
  session: ['x-session-id'],
  modelRewrite: ['x-llm-d-model-name-rewrite', 'x-gateway-model-name-rewrite'],
} as const;

/**
 * Headers that steer routing or disaggregation. A client must never reach an engine with one of them, so
 * every adapter removes them before it sets its own (Endpoint Picker Protocol; facts on spoofed prefillers).
 */
export const controlHeaders: readonly string[] = [
  destinationHeader,
  servedEndpointKey,
  subsetKey,
  scoresKey,
  'x-gateway-destination-endpoint-fallback',
  'x-prefiller-host-port',
  'x-prefiller-url', // of sidecars before x-prefiller-host-port
  'x-encoder-hosts-ports',
  'x-data-parallel-host-port',
  'x-kv-cache-source-host-port',
];

/** Read here, and of no use to an engine: removed on the way to it. */
export const consumedHeaders: readonly string[] = [explainHeader, ...requestHeaders.modelRewrite];

/** Carry what nobody else may read: never logged or recorded. */
export const secretHeaders: readonly string[] = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'api-key',
  'x-api-key',
  'x-goog-api-key',
];
