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
 * A request of OpenAI's Responses API (https://platform.openai.com/docs/api-reference/responses) as the fields
 * of a chat completion. `earlier`: the conversation that `previous_response_id` names.
 */
export function chatBodyOfResponses(
  body: RequestBody,
  earlier: readonly RequestBody[] = [],
): RequestBody & { readonly messages: readonly RequestBody[] } {
  refuseUnsupported(body, {
    conversation: undefined,
    n: 1,
    prompt: undefined,
    truncation: 'disabled',
    top_logprobs: 0,
    max_tool_calls: undefined,
  });
  const {
    input: _,
    instructions: ____,
    text: __,
    reasoning: ___,
    max_output_tokens: maxTokens,
    ...rest
  } = body;
  return {
    ...rest,
    messages: [...instructions(body), ...conversationOf(body, earlier)],
    ...(isGiven(body, 'tools') ? { tools: readTools(body) } : {}),
    ...readToolChoice(body),
    ...readReasoning(body),
    response_format: readFormat(body),
    max_completion_tokens: maxTokens,
  };
}

function instructions(body: RequestBody): readonly RequestBody[] {
  const content = readString(body, 'instructions');
  return content === undefined ? [] : [{ role: 'system', content }];
}

/** What was said before, and what this request says. */
export function conversationOf(body: RequestBody, earlier: readonly RequestBody[]): readonly RequestBody[] {
  return [...earlier, ...readInput(body)];
}

function readInput(body: RequestBody): readonly RequestBody[] {
  const { input } = body;
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  const items = readRecords(body, 'input');
  if (items === undefined || items.length === 0)
    throw invalid('input is required: a string, or a list of at least one item.', 'input');
  return joinCalls(items.flatMap((item, i) => messagesOf(item, `input[${i}]`)));
}

function messagesOf(item: RequestBody, where: string): readonly RequestBody[] {
  const type = item['type'] ?? 'message';
  switch (type) {
    case 'message': {
      const { role } = item;
      if (typeof role !== 'string')
        throw invalid(`${where}.role must be a string, got ${shown(role)}.`, 'input');
      return [{ role, content: textOf(item['content'], where) }];
    }
    case 'function_call': {
      const called = {
        name: readString(item, 'name') ?? '',
        arguments: readString(item, 'arguments') ?? '{}',
      };
      const call = { id: readString(item, 'call_id') ?? '', type: 'function', function: called };
      return [{ role: 'assistant', content: '', tool_calls: [call] }];
    }
    case 'function_call_output':
      return [
        {
          role: 'tool',
          tool_call_id: readString(item, 'call_id') ?? '',
          content: textOf(item['output'], where),
        },
      ];
    case 'reasoning':
      return [];
    default:
      throw invalid(
        `${where}.type must be "message", "function_call", "function_call_output" or "reasoning", got ${shown(type)}.`,
        'input',
      );
  }
}

/** The calls of one turn, and the text before them, are one message of a chat. */
function joinCalls(messages: readonly RequestBody[]): RequestBody[] {
  const joined: RequestBody[] = [];
  for (const message of messages) {
    const last = joined.at(-1);
    const calls = message['tool_calls'];
    if (Array.isArray(calls) && last?.['role'] === 'assistant') {
      const earlier = Array.isArray(last['tool_calls']) ? last['tool_calls'] : [];
      joined[joined.length - 1] = { ...last, tool_calls: [...earlier, ...calls] };
    } else joined.push(message);
  }
  return joined;
}

function textOf(content: unknown, where: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content))
    throw invalid(`${where}.content must be a string or a list of parts, got ${shown(content)}.`, 'input');
  return content
    .map((part: { readonly type?: unknown; readonly text?: unknown } | null) => {
      if (typeof part?.text === 'string') return part.text;
      throw invalid(`${where} has a part of type ${shown(part?.type)}; this model reads text only.`, 'input');
    })
    .join('\n');
}

function readTools(body: RequestBody): readonly RequestBody[] {
  return (readRecords(body, 'tools') ?? []).map((tool, i) => {
    if (tool['type'] !== 'function')
      throw invalid(
        `tools[${i}] is of type ${shown(tool['type'])}; this engine runs no tools itself, only "function" is known.`,
        'tools',
      );
    const { name, description, parameters } = tool;
    return { type: 'function', function: { name, description, parameters: parameters ?? undefined } };
  });
}

function readToolChoice(body: RequestBody): RequestBody {
  const choice = body['tool_choice'];
  if (typeof choice !== 'object' || choice === null) return {};
  const { type, name } = choice as RequestBody;
  return { tool_choice: type === 'function' ? { type, function: { name } } : choice };
}

function readReasoning(body: RequestBody): RequestBody {
  const effort = readString(readObject(body, 'reasoning') ?? {}, 'effort');
  return effort === undefined ? {} : { reasoning_effort: effort };
}

/** `text.format`: chat's `response_format`, with the schema one level higher. */
function readFormat(body: RequestBody): unknown {
  const format = readObject(readObject(body, 'text') ?? {}, 'format');
  if (format?.['type'] !== 'json_schema') return format;
  const { name, schema, strict } = format;
  return { type: 'json_schema', json_schema: { name, schema, strict } };
}
