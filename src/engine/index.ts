/**
 * The companion engine: serves one model over HTTP with vLLM's endpoints, metrics and KV semantics.
 *
 *   server/ ── EngineClient ──(commands, one message a step)── engine-worker ── EngineCore
 *                                                        Scheduler ── BlockManager, BatchBuilder ── native/
 *
 * Beside them: kv-events/ (ZeroMQ), output-parsers/ (reasoning, tool calls), structured-output/ (token masks).
 *
 * State owned: sequences, KV blocks and their prefix table, the native model, requests under way.
 * Imports allowed: protocol, tokenizer, telemetry. The engine does not know that a gateway exists.
 */

export type { EngineOptions } from './engine-options.ts';
export type { EngineFlag, FlagValue } from './flags/index.ts';
export { engineFlags, engineOptionsFromFlags } from './flags/index.ts';
export { serveEngine } from './serve-engine.ts';
