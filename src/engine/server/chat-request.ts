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
  readString,
  refuseUnsupported,
  shown,
} from './request-fields.ts';
import type { ServerContext } from './server-context.ts';
import { readToolUse } from './tool-use.ts';

type Message = Readonly<Record<string, unknown>>;

/** The prompt of a chat: messages through the model's template. */
export async function renderChat(
  body: RequestBody,
  { prompts, chat }: Pick<ServerContext, 'prompts' | 'chat'>,
): Promise<RenderedChat> {
  refuseUnsupported(body, { functions: undefined, add_special_tokens: false });
  const continuesFinalMessage = readBoolean(body, 'continue_final_message', false);
  if (continuesFinalMessage && body['add_generation_prompt'] === true)
    throw invalid(
      'Cannot set both `continue_final_message` and `add_generation_prompt` to True.',
      'continue_final_message',
    );
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
    addGenerationPrompt: readBoolean(body, 'add_generation_prompt', !continuesFinalMessage),
    continuesFinalMessage,
    template: readTemplate(body, chat),
    variables: {
      ...chat.variables,
      ...readEffort(body),
      ...readObject(body, 'chat_template_kwargs'),
      documents: readRecords(body, 'documents'),
    },
  });
}

function readTemplate(body: RequestBody, { trustsRequestTemplates }: ServerContext['chat']) {
  const template = readString(body, 'chat_template');
  if (template !== undefined && !trustsRequestTemplates)
    throw invalid(
      'Chat template is passed with request, but --trust-request-chat-template is not set. Refused request with untrusted chat template.',
      'chat_template',
    );
  return template;
}

const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'];

/** Templates of models that can think either way ask `enable_thinking`; some ask how much. */
function readEffort(body: RequestBody): RequestBody {
  const effort = readString(body, 'reasoning_effort');
  if (effort === undefined) return {};
  if (!efforts.includes(effort))
    throw invalid(
      `reasoning_effort must be one of ${efforts.join(', ')}, got ${shown(effort)}.`,
      'reasoning_effort',
    );
  return { reasoning_effort: effort, enable_thinking: effort !== 'none' };
}

/** `echo`: the answer begins with the message that it goes on with. Empty if the last one is not the assistant's. */
export function readEcho(body: RequestBody): string {
  if (!readBoolean(body, 'echo', false)) return '';
  const last = readRecords(body, 'messages')?.at(-1);
  if (last?.['role'] !== 'assistant') return '';
  const content = readContent(last['content'], 'messages[-1]');
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
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
      ...reasoningOf(message),
      ...(Array.isArray(message['tool_calls'])
        ? { tool_calls: message['tool_calls'].map(parseArguments) }
        : {}),
    };
  });
}

/** Of an earlier answer, by its name and by its older one: templates know either. */
function reasoningOf({ reasoning, reasoning_content: older }: Message): Message {
  const given = reasoning ?? older;
  return typeof given === 'string' ? { reasoning: given, reasoning_content: given } : {};
}

interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

/** Text, or a list of text parts, which the template gets as it wants them. */
function readContent(content: unknown, where: string): string | readonly TextPart[] {
  if (typeof content === 'string') return content;
  // An assistant message that only calls tools has none.
  if (content === undefined || content === null) return '';
  if (!Array.isArray(content))
    throw invalid(`${where}.content must be a string or a list of parts, got ${shown(content)}.`, 'messages');
  return content.map((part: unknown, i): TextPart => {
    if (typeof part === 'string') return { type: 'text', text: part };
    const { type, text, refusal } = (typeof part === 'object' && part !== null ? part : {}) as Message;
    if (type === 'text' && typeof text === 'string') return { type, text };
    if (type === 'refusal' && typeof refusal === 'string') return { type: 'text', text: refusal };
    throw invalid(
      `${where}.content[${i}] must be {"type": "text", "text": …}; this model reads text only.`,
      'messages',
    );
  });
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
