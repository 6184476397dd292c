/** What vLLM answers to `GET /metrics`, in its length and make: mostly histograms, a few gauges that matter. */
export function vllmExposition(bytes: number, waiting: number): string {
  const labels = 'engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"';
  const lines = [
    '# HELP python_gc_objects_collected_total Objects collected during gc',
    '# TYPE python_gc_objects_collected_total counter',
    'python_gc_objects_collected_total{generation="0"} 12531.0',
    'process_start_time_seconds 1.75e+09',
    '# HELP vllm:num_requests_running Number of requests in model execution batches.',
    '# TYPE vllm:num_requests_running gauge',
    `vllm:num_requests_running{${labels}} 17.0`,
    `vllm:num_requests_waiting{${labels}} ${waiting}.0`,
    `vllm:kv_cache_usage_perc{${labels}} 0.4375`,
    `vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="27345"} 1.0`,
  ];
  const families = [
    'time_to_first_token_seconds',
    'inter_token_latency_seconds',
    'e2e_request_latency_seconds',
  ];
  let length = lines.join('\n').length;
  for (let family = 0; length < bytes; family++) {
    const name = `vllm:${families[family % families.length]}${family < families.length ? '' : `_${family}`}`;
    const before = lines.length;
    lines.push(`# HELP ${name} Histogram.`, `# TYPE ${name} histogram`);
    for (let bucket = 0; bucket < 22; bucket++)
      lines.push(`${name}_bucket{${labels},le="${(0.001 * 2 ** bucket).toPrecision(4)}"} ${1000 + bucket}.0`);
    lines.push(`${name}_count{${labels}} 1022.0`, `${name}_sum{${labels}} 731.25`);
    length += lines.slice(before).reduce((sum, line) => sum + line.length + 1, 0);
  }
  return `${lines.join('\n')}\n`;
}
