import { Counter, Histogram, type Registry } from 'prom-client';

const requestSeconds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const firstTokenSeconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const perTokenSeconds = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2];
const decisionSeconds = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];
const ageSeconds = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const shares = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1];
const phaseSeconds = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300];
const tokens = [1, 8, 32, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768, 131072];

/**
 * Every counter and histogram, named once. The names that llm-d's picker uses where they fit, so that its
 * dashboards work; ours begin with `pointsman_`.
 */
export function defineMetrics(registry: Registry) {
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers: [registry] });
  const histogram = (name: string, help: string, labelNames: string[], buckets: number[]) =>
    new Histogram({ name, help, labelNames, buckets, registers: [registry] });

  const byModel = ['model_name', 'target_model_name', 'fairness_id', 'priority'];
  const requests = counter('llm_d_epp_request_total', 'Requests that got an endpoint.', byModel);
  const errors = counter('llm_d_epp_request_error_total', 'Requests that failed.', [
    ...byModel,
    'error_code',
  ]);
  const duration = histogram(
    'llm_d_epp_request_duration_seconds',
    'Arrival to end.',
    byModel,
    requestSeconds,
  );
  const ttft = histogram(
    'llm_d_epp_request_ttft_seconds',
    'Arrival to first token.',
    [...byModel, 'streaming'],
    firstTokenSeconds,
  );
  const tpot = histogram(
    'llm_d_epp_request_streaming_tpot_seconds',
    'Time per output token after the first.',
    byModel,
    perTokenSeconds,
  );
  const ntpot = histogram(
    'llm_d_epp_request_ntpot_seconds',
    'Arrival to end, per output token.',
    byModel,
    perTokenSeconds,
  );
  const inputTokens = histogram('llm_d_epp_request_input_tokens', 'Prompt tokens.', byModel, tokens);
  const outputTokens = histogram('llm_d_epp_request_output_tokens', 'Completion tokens.', byModel, tokens);
  const cachedTokens = histogram(
    'llm_d_epp_request_cached_tokens',
    'Prompt tokens that the engine found in its cache.',
    byModel,
    tokens,
  );
  const decision = histogram(
    'llm_d_epp_scheduler_e2e_duration_seconds',
    'Time of one decision.',
    [],
    decisionSeconds,
  );
  const attempts = counter('llm_d_epp_scheduler_attempts_total', 'Decisions by result and choice.', [
    'status',
    'target_model_name',
    'endpoint_name',
    'namespace',
    'port',
  ]);
  const byPlugin = ['plugin_type', 'plugin_name'];
  const hitRatio = histogram(
    'llm_d_epp_prefix_indexer_hit_ratio',
    'Share of the prompt believed cached on the chosen endpoint.',
    byPlugin,
    shares,
  );
  const hitBytes = histogram(
    'llm_d_epp_prefix_indexer_hit_bytes',
    'Bytes of the prompt believed cached on the chosen endpoint.',
    byPlugin,
    tokens.map((count) => 4 * count),
  );

  const decisions = counter('pointsman_decisions_total', 'Choices by endpoint and by what decided.', [
    'endpoint',
    'reason',
  ]);
  const served = counter('pointsman_requests_total', 'Finished requests by endpoint and outcome.', [
    'endpoint',
    'outcome',
  ]);
  const metricsAge = histogram(
    'pointsman_decision_metrics_age_seconds',
    "Age of the chosen endpoint's figures at the decision.",
    [],
    ageSeconds,
  );
  const predicted = counter(
    'pointsman_predicted_cached_tokens_total',
    'Prompt tokens believed cached at the decision, of requests whose engine told.',
    ['endpoint'],
  );
  const observed = counter('pointsman_observed_cached_tokens_total', 'Prompt tokens that were cached.', [
    'endpoint',
  ]);
  const streamPhase = histogram(
    'pointsman_ext_proc_phase_seconds',
    'Parts of an ext-proc stream: gathering, picking, waiting, responding.',
    ['phase'],
    phaseSeconds,
  );
  const retries = counter('pointsman_retries_total', 'Moves to another endpoint after a failed connection.');
  const rejections = counter('pointsman_rejections_total', 'Requests without an endpoint, by code.', [
    'code',
  ]);
  const slo = counter(
    'pointsman_slo_requests_total',
    'Requests with a target, by target (ttft, tpot) and result (met, missed); refused and failed ones have missed it.',
    [...byModel, 'target', 'result'],
  );
  const pluginFailures = counter(
    'pointsman_plugin_failures_total',
    'Filters, scorers and pickers that failed in a decision, which went on without them.',
    ['kind', 'plugin'],
  );

  return {
    requests,
    errors,
    duration,
    ttft,
    tpot,
    ntpot,
    inputTokens,
    outputTokens,
    cachedTokens,
    decision,
    attempts,
    hitRatio,
    hitBytes,
    decisions,
    served,
    metricsAge,
    predicted,
    observed,
    streamPhase,
    retries,
    rejections,
    pluginFailures,
    slo,
  };
}
