/**
 * The engine's HTTP face: vLLM's endpoints on fastify.
 *
 *   routes ── generation-options, chat-request, completion-request   bodies to checked data
 *          ── run-generation ── EngineClient                         tokens to text, stop strings, times
 *          ── stream-events, sse-writer                              answers at the reader's pace
 *
 * State owned: open connections; text of answers under way.
 * Imports allowed: the engine's client and types, protocol, tokenizer, telemetry.
 */
export type { EngineServerOptions } from './engine-server.ts';
export { createEngineServer } from './engine-server.ts';
export type { ChatDefaults, OutputFormats, ServerContext } from './server-context.ts';
