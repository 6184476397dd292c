import type { RequestBody } from './request-fields.ts';
import {
  invalid,
  isGiven,
  readObject,
  readRecords,
  readString,
  refuseUnsupported,
  shown,
} from './request-fields.ts';

/**
 * A request of Anthropic's Messages API (https://docs.anthropic.com/en/api/messages) as the fields of a chat
 * completion. Fields that it does not know, vLLM's sampling parameters among them, keep their meaning.
 */
export function chatBodyOfMessages(body: RequestBody): RequestBody {
  refuseUnsupported(body, {
    n: 1,
    container: undefined,
    mcp_servers: undefined,
  });
  const { stop_sequences: stop, ...others } = body;
  const rest = Object.fromEntries(Object.entries(others).filter(([name]) => !ownFields.has(name)));
  return {
    ...rest,
    messages: [...systemMessage(body), ...readMessages(body)],
    ...(isGiven(body, 'tools') ? { tools: readTools(body) } : {}),
    ...readToolChoice(body),
    ...readThinking(body),
    ...readOutput(body),
    stop,
  };
}

/** Fields of this API alone, read below or without meaning here. */
const ownFields = new Set([
  ...['system', 'tool_choice', 'thinking', 'metadata', 'output_config', 'output_format'],
]);

/** `output_config`, or its older name: a schema that the text is held to, and how much to think. */
function readOutput(body: RequestBody): RequestBody {
  const config = readObject(body, 'output_config') ?? {};
  const format = readObject(config, 'format') ?? readObject(body, 'output_format');
  const effort = readString(config, 'effort');
  if (format !== undefined && format['type'] !== 'json_schema')
    throw invalid(
      `output_config.format.type must be "json_schema", got ${shown(format['type'])}.`,
      'output_config',
    );
  return {
    ...(format && { response_format: { type: 'json_schema', json_schema: { schema: format['schema'] } } }),
    ...(effort === undefined ? {} : { reasoning_effort: effort }),
  };
}

function systemMessage(body: RequestBody): readonly RequestBody[] {
  const { system } = body;
  if (system === undefined || system === null) return [];
  return [{ role: 'system', content: textOf(system, 'system') }];
}

function readMessages(body: RequestBody): readonly RequestBody[] {
  const messages = readRecords(body, 'messages');
  if (messages === undefined || messages.length === 0)
    throw invalid('messages is required: a list of at least one message.', 'messages');
  return messages.flatMap(({ role, content }, i) => {
    const where = `messages[${i}]`;
    if (role !== 'user' && role !== 'assistant')
      throw invalid(
        `${where}.role must be "user" or "assistant", got ${shown(role)}; instructions go into system.`,
        'messages',
      );
    if (typeof content === 'string') return [{ role, content }];
    const blocks = readRecords({ content }, 'content');
    if (blocks === undefined) throw invalid(`${where}.content is required.`, 'messages');
    return role === 'user' ? userMessages(blocks, where) : [assistantMessage(blocks, where)];
  });
}

/** Results of tools are messages of their own in a chat; Anthropic wants them first. */
function userMessages(blocks: readonly RequestBody[], where: string): RequestBody[] {
  const results = blocks
    .filter(({ type }) => type === 'tool_result')
    .map((block) => ({
      role: 'tool',
      tool_call_id: readString(block, 'tool_use_id') ?? '',
      content: textOf(block['content'] ?? '', `${where}.content`),
    }));
  const others = blocks.filter(({ type }) => type !== 'tool_result');
  return others.length === 0
    ? results
    : [...results, { role: 'user', content: textOf(others, `${where}.content`) }];
}

function assistantMessage(blocks: readonly RequestBody[], where: string): RequestBody {
  const text: RequestBody[] = [];
  const reasoning: string[] = [];
  const calls: RequestBody[] = [];
  for (const block of blocks)
    if (block['type'] === 'tool_use') calls.push(toolCall(block, where));
    else if (block['type'] === 'thinking') reasoning.push(readString(block, 'thinking') ?? '');
    else if (block['type'] !== 'redacted_thinking') text.push(block);
  return {
    role: 'assistant',
    content: textOf(text, `${where}.content`),
    ...(reasoning.length === 0 ? {} : { reasoning_content: reasoning.join('\n') }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

function toolCall(block: RequestBody, where: string): RequestBody {
  const name = readString(block, 'name');
  if (name === undefined) throw invalid(`${where} has a tool_use without a name.`, 'messages');
  const called = { name, arguments: JSON.stringify(readObject(block, 'input') ?? {}) };
  return { id: readString(block, 'id') ?? '', type: 'function', function: called };
}

/** A string, or text blocks. */
function textOf(content: unknown, where: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content))
    throw invalid(`${where} must be a string or a list of blocks, got ${shown(content)}.`, 'messages');
  return content
    .map((block: { readonly type?: unknown; readonly text?: unknown } | null) => {
      if (block?.type === 'text' && typeof block.text === 'string') return block.text;
      throw invalid(
        `${where} has a block of type ${shown(block?.type)}; this model reads text only.`,
        'messages',
      );
    })
    .join('\n');
}

function readTools(body: RequestBody): readonly RequestBody[] {
  return (readRecords(body, 'tools') ?? []).map((tool, i) => {
    const type = tool['type'] ?? 'custom';
    if (type !== 'custom')
      throw invalid(`tools[${i}] is of type ${shown(type)}; this engine runs no tools itself.`, 'tools');
    const { name, description, input_schema: parameters } = tool;
    return { type: 'function', function: { name, description, parameters } };
  });
}

function readToolChoice(body: RequestBody): RequestBody {
  const choice = readObject(body, 'tool_choice');
  if (choice === undefined) return {};
  const several = choice['disable_parallel_tool_use'] === true ? { parallel_tool_calls: false } : {};
  switch (choice['type']) {
    case 'auto':
    case 'none':
      return { tool_choice: choice['type'], ...several };
    case 'any':
      return { tool_choice: 'required', ...several };
    case 'tool':
      return { tool_choice: { type: 'function', function: { name: choice['name'] } }, ...several };
    default:
      throw invalid(
        `tool_choice.type must be "auto", "any", "tool" or "none", got ${shown(choice['type'])}.`,
        'tool_choice',
      );
  }
}

/** Templates of models that can think either way ask `enable_thinking`. */
function readThinking(body: RequestBody): RequestBody {
  const type = readObject(body, 'thinking')?.['type'];
  if (type === undefined) return {};
  return {
    chat_template_kwargs: {
      ...readObject(body, 'chat_template_kwargs'),
      enable_thinking: type !== 'disabled',
    },
  };
}
