/** What one event of a streamed answer means, in the dialects of OpenAI and Anthropic. */
import { field } from './usage.ts';

/**
 * - `token`: it carries generated text, reasoning, or a tool call.
 * - `preamble`: a known shape without any, such as the role of a chat message or `response.created`.
 * - `unknown`: neither dialect; it may be anything.
 */
export type StreamEventKind = 'token' | 'preamble' | 'unknown';

export function streamEventKind(event: unknown): StreamEventKind {
  const choices = field(event, 'choices');
  if (Array.isArray(choices)) return choices.some(isTokenChoice) ? 'token' : 'preamble';
  const type = field(event, 'type');
  if (typeof type !== 'string') return 'unknown';
  if (type.startsWith('response.')) {
    return type.endsWith('.delta') && isFull(field(event, 'delta')) ? 'token' : 'preamble';
  }
  if (type === 'content_block_delta') return 'token';
  return anthropicPreambles.has(type) ? 'preamble' : 'unknown';
}

const anthropicPreambles: ReadonlySet<string> = new Set(['message_start', 'content_block_start', 'ping']);

/** Fields of a chat delta in which engines put generated text; vLLM calls reasoning by both names. */
const deltaFields = ['content', 'reasoning_content', 'reasoning', 'refusal', 'tool_calls', 'function_call'];

function isTokenChoice(choice: unknown): boolean {
  if (isFull(field(choice, 'text')) || isFull(field(choice, 'finish_reason'))) return true;
  const delta = field(choice, 'delta');
  return deltaFields.some((name) => isFull(field(delta, name)));
}

/** Neither absent, null nor empty. */
function isFull(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  return typeof value === 'string' || Array.isArray(value) ? value.length > 0 : true;
}
