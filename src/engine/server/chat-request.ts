import { ServiceError } from '../../protocol/errors.ts';
import type { RenderedChat } from '../../tokenizer/index.ts';
import { parseJson } from './json-text.ts';
import type { RequestBody } from './request-fields.ts';
import {
  invalid,
  readBoolean,
  readNumber,
  readObject,
  readRecords,
  refuseUnsupported,
  shown,
} from './request-fields.ts';
import type { ServerContext } from './server-context.ts';
import { readToolUse } from './tool-use.ts';

type Message = Readonly<Record<string, unknown>>;

/** The prompt of a chat: messages through the model's template. */
export async function renderChat(body: RequestBody, { prompts }: ServerContext): Promise<RenderedChat> {
  refuseUnsupported(body, {
    chat_template: undefined,
    continue_final_message: false,
    functions: undefined,
    echo: false,
    add_special_tokens: false,
  });
  const messages = readMessages(body);
  const { tools } = readToolUse(body);
  if (!prompts.hasChatTemplate)
    throw new ServiceError(
      'invalid_request',
      'This model has no chat template. Use /v1/completions, or start the engine with --chat-template.',
      { param: 'messages' },
    );
  return prompts.renderChat({
    messages,
    tools,
    addGenerationPrompt: readBoolean(body, 'add_generation_prompt', true),
    variables: { ...readObject(body, 'chat_template_kwargs'), documents: body['documents'] },
  });
}

/** How many top log-probabilities chat asks for; undefined for none at all. */
export function readChatLogprobs(body: RequestBody, maxLogprobs: number): number | undefined {
  const isWanted = readBoolean(body, 'logprobs', false);
  const top = readNumber(body, 'top_logprobs', { min: 0, isInteger: true });
  if (top !== undefined && top > 0 && !isWanted)
    throw invalid('when using `top_logprobs`, `logprobs` must be set to true.', 'top_logprobs');
  if (top !== undefined && top > maxLogprobs)
    throw invalid(
      `Requested sample logprobs of ${top}, which is greater than max allowed: ${maxLogprobs}`,
      'top_logprobs',
    );
  return isWanted ? (top ?? 0) : undefined;
}

function readMessages(body: RequestBody): readonly Message[] {
  const messages = readRecords(body, 'messages');
  if (messages === undefined) throw invalid('messages is required: a list of chat messages.', 'messages');
  if (messages.length === 0) throw invalid('messages must not be empty.', 'messages');
  return messages.map((message, i) => {
    const where = `messages[${i}]`;
    if (typeof message['role'] !== 'string')
      throw invalid(`${where}.role must be a string, got ${shown(message['role'])}.`, 'messages');
    return {
      ...message,
      content: readContent(message['content'], where),
      ...(Array.isArray(message['tool_calls'])
        ? { tool_calls: message['tool_calls'].map(parseArguments) }
        : {}),
    };
  });
}

/** Text, or a list of text parts, which are joined by line feeds as vLLM does for templates that expect text. */
function readContent(content: unknown, where: string): string {
  if (typeof content === 'string') return content;
  // An assistant message that only calls tools has none.
  if (content === undefined || content === null) return '';
  if (!Array.isArray(content))
    throw invalid(`${where}.content must be a string or a list of parts, got ${shown(content)}.`, 'messages');
  return content
    .map((part: unknown, i) => {
      if (typeof part === 'string') return part;
      const record = (typeof part === 'object' && part !== null ? part : {}) as Message;
      if (record['type'] === 'text' && typeof record['text'] === 'string') return record['text'];
      throw invalid(
        `${where}.content[${i}] must be {"type": "text", "text": …}; this model reads text only.`,
        'messages',
      );
    })
    .join('\n');
}

/** Templates want the arguments of earlier calls as an object; clients send them as JSON text. */
function parseArguments(call: unknown): unknown {
  if (typeof call !== 'object' || call === null || !('function' in call)) return call;
  const { function: called } = call;
  if (typeof called !== 'object' || called === null || !('arguments' in called)) return call;
  if (typeof called.arguments !== 'string') return call;
  try {
    const value = parseJson(called.arguments, 'The arguments of a call');
    return { ...call, function: { ...called, arguments: value } };
  } catch (error) {
    // Not JSON: the template shows the text as it is.
    if (error instanceof ServiceError && error.code === 'invalid_json') return call;
    throw error;
  }
}
