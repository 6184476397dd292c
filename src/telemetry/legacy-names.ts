/** The names that llm-d's picker had before `llm_d_epp_`; dashboards of earlier releases read them. */
const legacyNames: Readonly<Record<string, string>> = {
  llm_d_epp_request_total: 'inference_objective_request_total',
  llm_d_epp_request_error_total: 'inference_objective_request_error_total',
  llm_d_epp_request_duration_seconds: 'inference_objective_request_duration_seconds',
  llm_d_epp_request_size_bytes: 'inference_objective_request_sizes',
  llm_d_epp_response_size_bytes: 'inference_objective_response_sizes',
  llm_d_epp_request_input_tokens: 'inference_objective_input_tokens',
  llm_d_epp_request_output_tokens: 'inference_objective_output_tokens',
  llm_d_epp_request_cached_tokens: 'inference_objective_prompt_cached_tokens',
  llm_d_epp_request_running: 'inference_objective_running_requests',
  llm_d_epp_request_ntpot_seconds: 'inference_objective_normalized_time_per_output_token_seconds',
  llm_d_epp_request_ttft_seconds: 'inference_objective_request_ttft_seconds',
  llm_d_epp_request_streaming_tpot_seconds: 'inference_objective_request_tpot_seconds',
  llm_d_epp_request_predicted_ttft_seconds: 'inference_objective_request_predicted_ttft_seconds',
  llm_d_epp_request_predicted_tpot_seconds: 'inference_objective_request_predicted_tpot_seconds',
  llm_d_epp_request_slo_violation_total: 'inference_objective_request_slo_violation_total',
  llm_d_epp_average_kv_cache_utilization: 'inference_pool_average_kv_cache_utilization',
  llm_d_epp_average_queue_size: 'inference_pool_average_queue_size',
  llm_d_epp_average_running_requests: 'inference_pool_average_running_requests',
  llm_d_epp_ready_endpoints: 'inference_pool_ready_pods',
  llm_d_epp_per_endpoint_queue_size: 'inference_pool_per_pod_queue_size',
  llm_d_epp_scheduler_e2e_duration_seconds: 'inference_extension_scheduler_e2e_duration_seconds',
  llm_d_epp_scheduler_attempts_total: 'inference_extension_scheduler_attempts_total',
  llm_d_epp_plugin_duration_seconds: 'inference_extension_plugin_duration_seconds',
  llm_d_epp_prefix_indexer_size: 'inference_extension_prefix_indexer_size',
  llm_d_epp_prefix_indexer_hit_ratio: 'inference_extension_prefix_indexer_hit_ratio',
  llm_d_epp_prefix_indexer_hit_bytes: 'inference_extension_prefix_indexer_hit_bytes',
  llm_d_epp_kv_cache_index_admissions_total: 'kvcache_index_admissions_total',
  llm_d_epp_kv_cache_index_evictions_total: 'kvcache_index_evictions_total',
  llm_d_epp_kv_cache_index_lookup_requests_total: 'kvcache_index_lookup_requests_total',
  llm_d_epp_kv_cache_index_lookup_hits_total: 'kvcache_index_lookup_hits_total',
  llm_d_epp_kv_cache_index_max_pod_hit_count_total: 'kvcache_index_max_pod_hit_count_total',
  llm_d_epp_kv_cache_index_lookup_latency_seconds: 'kvcache_index_lookup_latency_seconds',
  llm_d_epp_model_rewrite_decisions_total: 'inference_extension_model_rewrite_decisions_total',
  llm_d_epp_flow_control_request_queue_duration_seconds:
    'inference_extension_flow_control_request_queue_duration_seconds',
  llm_d_epp_flow_control_queue_size: 'inference_extension_flow_control_queue_size',
  llm_d_epp_flow_control_queue_bytes: 'inference_extension_flow_control_queue_bytes',
  llm_d_epp_flow_control_pool_saturation: 'inference_extension_flow_control_pool_saturation',
  llm_d_epp_info: 'inference_extension_info',
  llm_d_epp_datalayer_poll_errors_total: 'llm_d_inference_scheduler_datalayer_poll_errors_total',
  llm_d_epp_datalayer_extract_errors_total: 'llm_d_inference_scheduler_datalayer_extract_errors_total',
};

/** Labels that had other names in those families. */
const legacyLabels: Readonly<Record<string, readonly [current: string, legacy: string]>> = {
  llm_d_epp_per_endpoint_queue_size: ['model_server_endpoint=', 'model_server_pod='],
  llm_d_epp_scheduler_attempts_total: ['endpoint_name=', 'pod_name='],
};

/**
 * The lines of an exposition as text, with each family once more under its older name. Made from the lines, so
 * that nothing is recorded twice.
 */
export function withLegacyNames(lines: readonly string[]): string {
  const twins: string[] = [];
  let name = '';
  let legacy: string | undefined;
  for (const line of lines) {
    if (line.startsWith('# HELP ')) {
      name = line.slice(7, line.indexOf(' ', 7));
      legacy = legacyNames[name];
    }
    if (legacy === undefined) continue;
    if (line.startsWith('# ')) twins.push(line.replace(name, legacy));
    else twins.push(`${legacy}${renamed(line.slice(name.length), legacyLabels[name])}`);
  }
  return [...lines, ...twins].join('\n');
}

function renamed(rest: string, names: readonly [string, string] | undefined): string {
  return names === undefined ? rest : rest.replace(names[0], names[1]);
}
