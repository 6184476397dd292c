import type { GpuEngine } from './gpu-engine.ts';

/**
 * 256 requests at once, prompts and outputs of 100 to 1024 tokens each, drawn uniformly: the workload of nano-vllm's
 * bench.py, with other draws.
 */
export function workload256(engine: GpuEngine): { readonly seconds: number; readonly outputTokens: number } {
  engine.prefill(512);
  let state = 0;
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 100 + ((state >>> 8) % 925);
  };
  const startMs = performance.now();
  for (let i = 0; i < 256; i++) engine.add(engine.tokens(i, draw()), draw());
  const outputTokens = engine.drain();
  return { seconds: (performance.now() - startMs) / 1000, outputTokens };
}
