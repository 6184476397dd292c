import { Counter, Gauge, type Registry } from 'prom-client';
import type { SleepLevel } from '../engine-client.ts';
import type { EngineInfo } from '../engine-messages.ts';
import type { AdapterUse, DraftCounters } from '../step-output.ts';

/** Of all series of one engine. */
type Labels = Readonly<Record<string, string>>;

export function waitingByReason(registry: Registry, labels: Labels, waiting: () => number): void {
  new Gauge({
    name: 'vllm:num_requests_waiting_by_reason',
    help: 'Requests waiting, by what they wait for.',
    labelNames: ['model_name', 'engine', 'reason'],
    registers: [registry],
    collect() {
      this.set({ ...labels, reason: 'capacity' }, waiting());
      this.set({ ...labels, reason: 'deferred' }, 0);
    },
  });
}

/** Drafts of speculative decoding, and what became of them. */
export function draftCounters(registry: Registry, labels: Labels, drafts: () => DraftCounters): void {
  const labelNames = ['model_name', 'engine'];
  const counter = (name: string, help: string, read: (counters: DraftCounters) => number) =>
    new Counter({
      name: `vllm:spec_decode_${name}_total`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(labels, read(drafts()));
      },
    });
  counter('num_drafts', 'Drafts checked.', (counters) => counters.drafts);
  counter('num_draft_tokens', 'Tokens of drafts.', (counters) => counters.draftTokens);
  counter('num_accepted_tokens', 'Tokens of drafts accepted.', (counters) => counters.acceptedTokens);
  new Counter({
    name: 'vllm:spec_decode_num_accepted_tokens_per_pos_total',
    help: 'Tokens of drafts accepted, by their place in the draft.',
    labelNames: [...labelNames, 'position'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [position, count] of drafts().acceptedAt.entries())
        this.inc({ ...labels, position: String(position) }, count);
    },
  });
}

/** 1 marks the state that the engine is in. */
export function sleepState(registry: Registry, labels: Labels, sleepLevel: () => SleepLevel): void {
  new Gauge({
    name: 'vllm:engine_sleep_state',
    help: 'Sleep state of the engine; 1 marks the one it is in.',
    labelNames: ['model_name', 'engine', 'sleep_state'],
    registers: [registry],
    collect() {
      for (const [level, sleep_state] of ['awake', 'weights_offloaded', 'discard_all'].entries())
        this.set({ ...labels, sleep_state }, level === sleepLevel() ? 1 : 0);
    },
  });
}

/** vLLM's way to tell names: as labels, with the time as value, so that the newest series is the true one. */
export function loraInfo(registry: Registry, maxLoras: number, read: () => AdapterUse): void {
  new Gauge({
    name: 'vllm:lora_requests_info',
    help: 'LoRA adapters in use, as labels; the value is the time in seconds.',
    labelNames: ['max_lora', 'waiting_lora_adapters', 'running_lora_adapters'],
    registers: [registry],
    collect() {
      const { running, waiting } = read();
      this.reset();
      this.set(
        {
          max_lora: String(maxLoras),
          waiting_lora_adapters: waiting.join(','),
          running_lora_adapters: running.join(','),
        },
        Date.now() / 1000,
      );
    },
  });
}

/** The configuration as labels: this is where routers learn block size and block count. */
export function cacheConfig(
  registry: Registry,
  info: EngineInfo,
  gpuMemoryUtilization: number | undefined,
): void {
  const labels = {
    block_size: String(info.blockSize),
    num_gpu_blocks: String(info.blocks),
    num_cpu_blocks: 'None',
    cache_dtype: info.kvCacheDtype,
    gpu_memory_utilization: String(gpuMemoryUtilization ?? 'None'),
    enable_prefix_caching: info.hasPrefixCaching ? 'True' : 'False',
    prefix_caching_hash_algo: 'sha256_cbor',
    kv_cache_size_tokens: String(info.blocks * info.blockSize),
    engine: '0',
  };
  const config = new Gauge({
    name: 'vllm:cache_config_info',
    help: 'Configuration of the KV cache, as labels.',
    labelNames: Object.keys(labels),
    registers: [registry],
  });
  config.set(labels, 1);
}
