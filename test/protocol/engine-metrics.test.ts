import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { engineMetricsScanner, scanEngineMetrics } from '../../src/protocol/engine-metrics.ts';

const scan = (text: string) => scanEngineMetrics(Buffer.from(text));

const vllm = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 5.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="9632"} 1.0
vllm:lora_requests_info{max_lora="2",running_lora_adapters="a, b",waiting_lora_adapters="c"} 1.7e+09
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="m"} 0.0
process_start_time_seconds 1.75e+09
`;

const nothing = {
  queuedRequests: 0,
  runningRequests: 0,
  kvCacheUsage: 0,
  blockSizeTokens: undefined,
  totalBlocks: undefined,
  runningAdapters: [],
  waitingAdapters: [],
  maxAdapters: undefined,
  processStartSeconds: undefined,
};

describe('engine metrics', () => {
  it('of vLLM are read', () => {
    expect(scan(vllm)).toEqual({
      queuedRequests: 2,
      runningRequests: 5,
      kvCacheUsage: 0.25,
      blockSizeTokens: 16,
      totalBlocks: 9632,
      runningAdapters: ['a', 'b'],
      waitingAdapters: ['c'],
      maxAdapters: 2,
      processStartSeconds: 1.75e9,
    });
  });

  it('of SGLang are read', () => {
    const text = `sglang:num_running_reqs{model_name="m",tp_rank="0"} 3.0
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 1.0
sglang:token_usage{model_name="m",tp_rank="0"} 0.5
sglang:cache_config_info{page_size="64",num_pages="2000"} 1.0
`;
    expect(scan(text)).toEqual({
      ...nothing,
      queuedRequests: 1,
      runningRequests: 3,
      kvCacheUsage: 0.5,
      blockSizeTokens: 64,
      totalBlocks: 2000,
    });
  });

  it('of trtllm-serve are read', () => {
    const text = `trtllm_num_requests_waiting 4
trtllm_num_requests_running 7
trtllm_kv_cache_utilization 0.125
trtllm_kv_cache_tokens_per_block 32
trtllm_kv_cache_max_blocks 512
`;
    expect(scan(text)).toEqual({
      ...nothing,
      queuedRequests: 4,
      runningRequests: 7,
      kvCacheUsage: 0.125,
      blockSizeTokens: 32,
      totalBlocks: 512,
    });
  });

  it('of Triton with TensorRT-LLM are read, told apart by a label', () => {
    const text = `nv_trt_llm_request_metrics{model="t",request_type="waiting",version="1"} 2
nv_trt_llm_request_metrics{model="t",request_type="scheduled",version="1"} 3
nv_trt_llm_request_metrics{model="t",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="t",version="1"} 0.75
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="t",version="1"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="t",version="1"} 4000
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="t",version="1"} 3000
`;
    expect(scan(text)).toEqual({
      ...nothing,
      queuedRequests: 2,
      runningRequests: 3,
      kvCacheUsage: 0.75,
      blockSizeTokens: 64,
      totalBlocks: 4000,
    });
  });

  it('of Triton alone are its queue; executions since its start are no running requests', () => {
    const text = 'nv_inference_pending_request_count{model="m"} 4\nnv_inference_exec_count{model="m"} 1234\n';
    expect(scan(text)).toEqual({ ...nothing, queuedRequests: 4 });
  });

  it('of other engines are read by the names that are given, labels included', () => {
    const scanMine = engineMetricsScanner([
      {
        name: 'mine',
        queuedRequests: 'my:requests{state=waiting}',
        runningRequests: 'my:requests{state="running"}',
        kvCacheUsage: 'my:kv_ratio',
        cacheConfig: 'my:cache_info',
        blockSizeLabel: 'size',
        totalBlocksLabel: 'blocks',
      },
    ]);
    const text = `my:requests{state="waiting"} 2
my:requests{state="running"} 3
my:requests{state="done"} 99
my:kv_ratio 0.5
my:cache_info{size="32",blocks="10"} 1
`;
    const expected = {
      ...nothing,
      queuedRequests: 2,
      runningRequests: 3,
      kvCacheUsage: 0.5,
      blockSizeTokens: 32,
      totalBlocks: 10,
    };
    expect(scanMine(Buffer.from(text))).toEqual(expected);
    expect(scan(text)).toBeUndefined();
    expect(scanMine(Buffer.from(vllm))).toEqual(scan(vllm));
  });

  it('of a built-in engine may be replaced', () => {
    const labels = { blockSizeLabel: 'block_size', totalBlocksLabel: 'num_gpu_blocks' };
    const scanOwn = engineMetricsScanner([{ name: 'vllm', queuedRequests: 'vllm:my_queue', ...labels }]);
    expect(scanOwn(Buffer.from(`vllm:my_queue 7\n${vllm}`))).toMatchObject({
      queuedRequests: 7,
      runningRequests: 0,
    });
  });

  it('of several data-parallel ranks are summed, KV usage averaged', () => {
    const text = `vllm:num_requests_waiting{engine="0"} 2
vllm:num_requests_waiting{engine="1"} 3
vllm:kv_cache_usage_perc{engine="0"} 0.2
vllm:kv_cache_usage_perc{engine="1"} 0.6
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1
vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="100"} 1
`;
    expect(scan(text)).toMatchObject({ queuedRequests: 5, kvCacheUsage: 0.4, totalBlocks: 200 });
  });

  it('take the newest series of LoRA adapters, in whatever order they stand', () => {
    const series = (adapter: string, seconds: string) =>
      `vllm:lora_requests_info{max_lora="4",running_lora_adapters="${adapter}",waiting_lora_adapters=""} ${seconds}\n`;
    const base = 'vllm:num_requests_running 1\n';
    expect(scan(base + series('old', '1.0') + series('new', '2.5e0') + series('older', '0.5'))).toMatchObject(
      {
        runningAdapters: ['new'],
        waitingAdapters: [],
        maxAdapters: 4,
      },
    );
    expect(scan(base + series('', '3'))).toMatchObject({ runningAdapters: [] });
  });

  it('prefer the new name of KV usage where an engine has both', () => {
    expect(scan('vllm:gpu_cache_usage_perc 0.9\nvllm:kv_cache_usage_perc 0.3\n')?.kvCacheUsage).toBe(0.3);
    expect(scan('vllm:gpu_cache_usage_perc 0.9\n')?.kvCacheUsage).toBe(0.9);
  });

  it.each([
    ['2', 2],
    ['2.5e+01', 25],
    ['  7  1395066363000', 7],
    ['3 # {trace_id="x"} 0.5', 3],
    ['4\r', 4],
    ['-1', 0],
    ['NaN', 0],
    ['+Inf', 0],
    ['', 0],
    ['x', 0],
  ])('read the value "%s" as %d', (value, expected) => {
    const text = `vllm:num_requests_running 1\nvllm:num_requests_waiting ${value}\n`;
    expect(scan(text)?.queuedRequests).toBe(expected);
  });

  it('understand quotes, braces, commas and escapes in labels', () => {
    const text = `vllm:num_requests_waiting{a="}\\"{ ,",b="x\\\\",c="\\n"} 6
vllm:lora_requests_info{running_lora_adapters="we\\"ird" , waiting_lora_adapters="",} 1
`;
    expect(scan(text)).toMatchObject({ queuedRequests: 6, runningAdapters: ['we"ird'] });
  });

  it('keep KV usage within 0 and 1', () => {
    expect(scan('sglang:token_usage 1.02\n')?.kvCacheUsage).toBe(1);
  });

  it('are undefined for a text without any of a known engine', () => {
    for (const text of ['', '\n\n', '<html></html>', 'go_goroutines 5\nprocess_start_time_seconds 1\n']) {
      expect(scan(text)).toBeUndefined();
    }
  });

  it('do not need a newline at the end', () => {
    expect(scan('vllm:num_requests_waiting 9')?.queuedRequests).toBe(9);
  });

  it('survive any bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(vllm.length),
        fc.nat(vllm.length),
        (noise, cut, at) => {
          scanEngineMetrics(Buffer.from(noise));
          scanEngineMetrics(
            Buffer.concat([Buffer.from(vllm.slice(0, cut)), noise, Buffer.from(vllm.slice(at))]),
          );
        },
      ),
    );
  });
});
