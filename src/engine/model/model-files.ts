import { join } from 'node:path';
import { type Checkpoint, readCheckpoint } from './checkpoint.ts';
import { type ModelConfig, parseModelConfig } from './config.ts';
import { readGgufCheckpoint } from './gguf/gguf-checkpoint.ts';
import { ggufConfig } from './gguf/gguf-config.ts';
import { readGguf } from './gguf/gguf-file.ts';
import { JsonFields } from './json-fields.ts';

/** Whether a model is one GGUF file rather than a folder. */
export function isGgufFile(model: string): boolean {
  return model.toLowerCase().endsWith('.gguf');
}

/** The decoder in a Hugging Face folder or a GGUF file. Throws CheckpointError when it cannot be served. */
export function readModelConfig(model: string): ModelConfig {
  if (isGgufFile(model)) return ggufConfig(readGguf(model));
  const file = join(model, 'config.json');
  return parseModelConfig(file, JsonFields.read(file));
}

/** Where its weights lie. */
export function readModelWeights(model: string, config: ModelConfig): Checkpoint {
  return isGgufFile(model) ? readGgufCheckpoint(model, config) : readCheckpoint(model, config);
}
