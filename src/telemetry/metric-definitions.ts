import { CounterFamily, type Family, HistogramFamily } from './series.ts';

/** Buckets are llm-d's where it has the family: dashboards ask for single bounds. */
const requestSeconds = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120,
  180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
];
const firstTokenSeconds = requestSeconds.filter((seconds) => seconds <= 120);
const perTokenSeconds = [
  0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 2,
];
const normalizedSeconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const gapSeconds = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2];
/** The shorter ones are ours: a decision here takes some tens of microseconds. */
const decisionSeconds = [
  0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
];
/** llm-d's, which are the defaults of its Prometheus client, below them ours: a lookup takes microseconds. */
const lookupSeconds = [
  0.000001, 0.000002, 0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
  0.5, 1, 2.5, 5, 10,
];
const processingSeconds = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const respondingSeconds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];
const queueSeconds = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const streamSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600];
const phaseSeconds = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300];
const ageSeconds = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const requestBytes = Array.from({ length: 25 }, (_, power) => 64 * 2 ** power);
const responseBytes = Array.from({ length: 21 }, (_, power) => 8 * 2 ** power);
const inputTokens = Array.from({ length: 21 }, (_, power) => 2 ** power);
const outputTokens = inputTokens.slice(0, 15);
const shares = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1];
const hitBytes = [0, ...requestBytes.slice(0, 17)];

const ofRequest = ['model_name', 'target_model_name', 'fairness_id', 'priority'];
const ofPlugin = ['plugin_type', 'plugin_name'];
const ofPrediction = ['plugin_name', 'plugin_type', 'model_name', 'target_model_name'];

/**
 * Every counter and histogram, named once. The names that llm-d's picker uses where they fit, so that its
 * dashboards work; ours begin with `pointsman_`.
 */
export function defineMetrics() {
  const families: Family[] = [];
  const counter = (name: string, help: string, labelNames: readonly string[] = []) => {
    const family = new CounterFamily({ name, help, labelNames });
    families.push(family);
    return family;
  };
  const histogram = (
    name: string,
    help: string,
    labelNames: readonly string[],
    bounds: readonly number[],
  ) => {
    const family = new HistogramFamily({ name, help, labelNames, bounds });
    families.push(family);
    return family;
  };
  return {
    /** All of them, in the order of the exposition. */
    families: families as readonly Family[],

    requests: counter('llm_d_epp_request_total', 'Requests that got an endpoint.', ofRequest),
    errors: counter('llm_d_epp_request_error_total', 'Requests that failed.', [...ofRequest, 'error_code']),
    duration: histogram('llm_d_epp_request_duration_seconds', 'Arrival to end.', ofRequest, requestSeconds),
    requestBytes: histogram('llm_d_epp_request_size_bytes', 'Request bodies.', ofRequest, requestBytes),
    responseBytes: histogram('llm_d_epp_response_size_bytes', 'Response bodies.', ofRequest, responseBytes),
    ttft: histogram(
      'llm_d_epp_request_ttft_seconds',
      'Arrival to first token; to the end of an answer that comes as a whole.',
      [...ofRequest, 'streaming'],
      firstTokenSeconds,
    ),
    tpot: histogram(
      'llm_d_epp_request_streaming_tpot_seconds',
      'Time per output token after the first.',
      ofRequest,
      perTokenSeconds,
    ),
    itl: histogram(
      'llm_d_epp_request_streaming_itl_seconds',
      'Time between two pieces of a streamed answer after the first token; of one request in eight.',
      ofRequest,
      gapSeconds,
    ),
    ntpot: histogram(
      'llm_d_epp_request_ntpot_seconds',
      'Arrival to end, per output token.',
      ofRequest,
      normalizedSeconds,
    ),
    inputTokens: histogram('llm_d_epp_request_input_tokens', 'Prompt tokens.', ofRequest, inputTokens),
    outputTokens: histogram('llm_d_epp_request_output_tokens', 'Completion tokens.', ofRequest, outputTokens),
    cachedTokens: histogram(
      'llm_d_epp_request_cached_tokens',
      'Prompt tokens that the engine found in its cache.',
      ofRequest,
      inputTokens,
    ),
    predictedTtft: histogram(
      'llm_d_epp_request_predicted_ttft_seconds',
      'Time to the first token as it was predicted at the decision, waiting included; of streamed answers.',
      ofPrediction,
      firstTokenSeconds,
    ),
    predictedTpot: histogram(
      'llm_d_epp_request_predicted_tpot_seconds',
      'Time per further output token as it was predicted at the decision; of streamed answers.',
      ofPrediction,
      perTokenSeconds,
    ),
    sloViolations: counter(
      'llm_d_epp_request_slo_violation_total',
      'Targets (ttft, tpot) that requests have missed; refused and failed ones have missed them.',
      [...ofPrediction, 'type'],
    ),
    rewrites: counter('llm_d_epp_model_rewrite_decisions_total', 'Requests sent to another model.', [
      'model_rewrite_name',
      'model_name',
      'target_model',
    ]),

    decision: histogram(
      'llm_d_epp_scheduler_e2e_duration_seconds',
      'Time of one decision.',
      [],
      decisionSeconds,
    ),
    attempts: counter('llm_d_epp_scheduler_attempts_total', 'Decisions by result and choice.', [
      'status',
      'target_model_name',
      'endpoint_name',
      'namespace',
      'port',
    ]),
    pluginDuration: histogram(
      'llm_d_epp_plugin_duration_seconds',
      'Time of one plugin in one decision; of one decision in 64.',
      ['extension_point', ...ofPlugin],
      decisionSeconds,
    ),
    hitRatio: histogram(
      'llm_d_epp_prefix_indexer_hit_ratio',
      'Share of the prompt believed cached on the chosen endpoint.',
      ofPlugin,
      shares,
    ),
    hitBytes: histogram(
      'llm_d_epp_prefix_indexer_hit_bytes',
      'Bytes of the prompt believed cached on the chosen endpoint.',
      ofPlugin,
      hitBytes,
    ),
    lookupLatency: histogram(
      'llm_d_epp_kv_cache_index_lookup_latency_seconds',
      'Time of one lookup of a prompt in the prefix index; of one lookup in 64.',
      [],
      lookupSeconds,
    ),
    pollErrors: counter('llm_d_epp_datalayer_poll_errors_total', 'Engines that could not be read.', [
      'source_type',
    ]),
    extractErrors: counter(
      'llm_d_epp_datalayer_extract_errors_total',
      'Engines that were read and told no figure that is known.',
      ['source_type', 'extractor_type'],
    ),

    queueDuration: histogram(
      'llm_d_epp_flow_control_request_queue_duration_seconds',
      'Time that a request waited for an endpoint with room.',
      ['fairness_id', 'priority', 'outcome', 'inference_pool', 'model_name', 'target_model_name'],
      queueSeconds,
    ),
    flowRequests: counter('llm_d_epp_flow_control_requests_total', 'Requests by what flow control did.', [
      'outcome',
      'priority',
      'inference_pool',
    ]),

    processing: histogram(
      'llm_d_epp_request_processing_duration_seconds',
      'First byte of a request at ext-proc to its pick or refusal, waiting included.',
      [],
      processingSeconds,
    ),
    responding: histogram(
      'llm_d_epp_response_processing_duration_seconds',
      'Time with the pieces of a streamed response, or from headers to end of another; of one stream in eight.',
      [],
      respondingSeconds,
    ),
    streams: counter('llm_d_epp_extproc_streams_total', 'Ext-proc streams that have ended.', ['code']),
    streamDuration: histogram(
      'llm_d_epp_extproc_stream_duration_seconds',
      'How long an ext-proc stream was open.',
      [],
      streamSeconds,
    ),
    streamPhase: histogram(
      'pointsman_ext_proc_phase_seconds',
      'Parts of an ext-proc stream: gathering, picking, waiting, responding.',
      ['phase'],
      phaseSeconds,
    ),

    decisions: counter('pointsman_decisions_total', 'Choices by endpoint and by what decided.', [
      'endpoint',
      'reason',
    ]),
    served: counter('pointsman_requests_total', 'Finished requests by endpoint and outcome.', [
      'endpoint',
      'outcome',
    ]),
    metricsAge: histogram(
      'pointsman_decision_metrics_age_seconds',
      "Age of the chosen endpoint's figures at the decision.",
      [],
      ageSeconds,
    ),
    predicted: counter(
      'pointsman_predicted_cached_tokens_total',
      'Prompt tokens believed cached at the decision, of requests whose engine told.',
      ['endpoint'],
    ),
    observed: counter('pointsman_observed_cached_tokens_total', 'Prompt tokens that were cached.', [
      'endpoint',
    ]),
    slo: counter(
      'pointsman_slo_requests_total',
      'Requests with a target, by target (ttft, tpot) and result (met, missed); refused and failed ones have missed it.',
      [...ofRequest, 'target', 'result'],
    ),
    retries: counter('pointsman_retries_total', 'Moves to another endpoint after a failed connection.'),
    rejections: counter('pointsman_rejections_total', 'Requests without an endpoint, by code.', ['code']),
    ejections: counter('pointsman_endpoint_ejections_total', 'Endpoints taken out because requests failed.', [
      'endpoint',
      'cause',
    ]),
    restorations: counter(
      'pointsman_endpoint_restorations_total',
      'Endpoints that have served a request after an ejection.',
      ['endpoint'],
    ),
    scrapes: counter('pointsman_scrapes_total', "Looks at an engine's figures, by result.", [
      'endpoint',
      'result',
    ]),
    pluginFailures: counter(
      'pointsman_plugin_failures_total',
      'Filters, scorers and pickers that failed in a decision, which went on without them.',
      ['kind', 'plugin'],
    ),
  };
}

export type MetricSeries = ReturnType<typeof defineMetrics>;
