/** The names that llm-d's picker had before `llm_d_epp_`; dashboards of earlier releases read them. */
const legacyNames: Readonly<Record<string, string>> = {
  llm_d_epp_request_total: 'inference_objective_request_total',
  llm_d_epp_request_error_total: 'inference_objective_request_error_total',
  llm_d_epp_request_duration_seconds: 'inference_objective_request_duration_seconds',
  llm_d_epp_request_input_tokens: 'inference_objective_input_tokens',
  llm_d_epp_request_output_tokens: 'inference_objective_output_tokens',
  llm_d_epp_request_cached_tokens: 'inference_objective_prompt_cached_tokens',
  llm_d_epp_request_ntpot_seconds: 'inference_objective_normalized_time_per_output_token_seconds',
  llm_d_epp_average_kv_cache_utilization: 'inference_pool_average_kv_cache_utilization',
  llm_d_epp_average_queue_size: 'inference_pool_average_queue_size',
  llm_d_epp_average_running_requests: 'inference_pool_average_running_requests',
  llm_d_epp_ready_endpoints: 'inference_pool_ready_pods',
  llm_d_epp_per_endpoint_queue_size: 'inference_pool_per_pod_queue_size',
  llm_d_epp_scheduler_e2e_duration_seconds: 'inference_extension_scheduler_e2e_duration_seconds',
  llm_d_epp_scheduler_attempts_total: 'inference_extension_scheduler_attempts_total',
  llm_d_epp_prefix_indexer_hit_ratio: 'inference_extension_prefix_indexer_hit_ratio',
  llm_d_epp_prefix_indexer_hit_bytes: 'inference_extension_prefix_indexer_hit_bytes',
  llm_d_epp_info: 'inference_extension_info',
};

/**
 * The exposition text with each family once more under its older name. Made from the text, so that nothing is
 * recorded twice.
 */
export function withLegacyNames(text: string): string {
  const twins: string[] = [];
  let name = '';
  let legacy: string | undefined;
  for (const line of text.split('\n')) {
    const [, kind, family = ''] = /^# (HELP|TYPE) (\S+)/.exec(line) ?? [];
    if (kind === 'HELP') {
      name = family;
      legacy = legacyNames[family];
    }
    if (legacy === undefined || line === '') continue;
    if (kind !== undefined) twins.push(line.replace(name, legacy));
    else
      twins.push(
        `${legacy}${line.slice(name.length)}`.replace('model_server_endpoint=', 'model_server_pod='),
      );
  }
  return twins.length === 0 ? text : `${text.trimEnd()}\n${twins.join('\n')}\n`;
}
