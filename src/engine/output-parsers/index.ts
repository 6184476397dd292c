/**
 * What a model writes, sorted: reasoning, content, tool calls.
 *
 *   text ──▶ reasoning format ──reasoning──▶ events
 *                  └──the rest──▶ tool call format ──content, calls──▶ events
 *
 * State owned: per answer, the text that may still turn out to be a marker. A format is a value; a new one is a
 * file and a line in `formats.ts`. Imports allowed: nothing of ours.
 */
export { createCallListParser, createNamedCallParser } from './forced-call-parsers.ts';
export type { ReasoningFormat, ToolCallFormat } from './formats.ts';
export { reasoningFormats, toolCallFormats } from './formats.ts';
export type { OutputEvent, OutputParser } from './output-parser.ts';
export { chainParsers, plainParser } from './output-parser.ts';
export type { ToolParameters } from './tool-parameters.ts';
