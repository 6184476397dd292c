/**
 * LoRA adapters: PEFT folders on disk, and which of them the model holds.
 *
 * State owned: names of loaded adapters and the slots that they have in native memory.
 * Imports allowed: the engine's `model/` and `native/`.
 */
export { readAdapter } from './adapter-files.ts';
export { AdapterSlots } from './adapter-slots.ts';
export type { LoraConfig, LoraModule } from './lora-config.ts';
export { readLoraConfig } from './lora-config.ts';
