/**
 * The command line of `pointsman engine`, which is vLLM's as far as it goes.
 *
 *   themes (serving, model, text, scheduling, kv-cache) ── engine-flags ── read-flags ──▶ EngineOptions
 *
 * State owned: none. Imports allowed: the engine's option types and names of formats.
 */
export type { EngineFlag, FlagValue } from './engine-flag.ts';
export { engineFlags, flagsNotServed, flagsWithoutMeaning } from './engine-flags.ts';
export { engineOptionsFromFlags } from './read-flags.ts';
