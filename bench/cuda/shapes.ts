import { type Shape, shapes } from '../engine/shapes.ts';

/** Shapes that are timed on a GPU, small first. */
export const gpuShapes: readonly Shape[] = [
  shapes.find(({ name }) => name === 'qwen3-0.6b')!,
  {
    name: 'llama-8b',
    architecture: 'LlamaForCausalLM',
    hiddenSize: 4096,
    layers: 32,
    heads: 32,
    kvHeads: 8,
    headDim: 128,
    intermediateSize: 14_336,
    vocabSize: 128_256,
  },
];
