import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, test } from 'vitest';
import { reasoningFormats, toolCallFormats } from '../../../src/engine/output-parsers/index.ts';
import { chatBodyOfMessages } from '../../../src/engine/server/messages-request.ts';
import { ScriptedModel } from '../support/scripted-model.ts';
import { startedEngines } from '../support/started-engines.ts';

const start = startedEngines();

/** Anthropic's own client, at an engine that writes this text. */
async function clientOf(text: string) {
  const engine = await start(
    { model: new ScriptedModel(text) },
    {
      outputFormats: { toolCalls: toolCallFormats['hermes']!, reasoning: reasoningFormats['qwen3']! },
      apiKey: 'key',
    },
  );
  return new Anthropic({ baseURL: engine.url, apiKey: 'key', maxRetries: 0 });
}

const answer =
  '<think>Hm.</think>Looking. <tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>';
const request = {
  model: 'fake',
  max_tokens: 200,
  system: 'Be brief.',
  messages: [{ role: 'user' as const, content: 'Weather?' }],
  tools: [{ name: 'weather', description: 'The weather.', input_schema: { type: 'object' as const } }],
};
const content = [
  { type: 'thinking', thinking: 'Hm.' },
  { type: 'text', text: 'Looking.' },
  { type: 'tool_use', name: 'weather', input: { city: 'Bern' } },
];

describe("Anthropic's client", () => {
  test('gets thinking, text and a call as blocks', async () => {
    const client = await clientOf(answer);
    const message = await client.messages.create(request);
    expect(message).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'tool_use', content });
    expect(message.id).toMatch(/^msg_/);
    expect(message.usage).toMatchObject({ output_tokens: answer.length + 1, cache_read_input_tokens: 0 });
    const { input_tokens } = await client.messages.countTokens(request);
    expect(message.usage.input_tokens).toBe(input_tokens);
  });

  test('gets the same streamed, whatever the pieces', async () => {
    const client = await clientOf(answer);
    const stream = client.messages.stream(request);
    const events: string[] = [];
    stream.on('streamEvent', ({ type }) => events.push(type));
    const message = await stream.finalMessage();
    expect(message).toMatchObject({ stop_reason: 'tool_use', content });
    expect(events[0]).toBe('message_start');
    expect(events.slice(-2)).toEqual(['message_delta', 'message_stop']);
    expect(events.filter((type) => type === 'content_block_start')).toHaveLength(3);
    expect(events.filter((type) => type === 'content_block_stop')).toHaveLength(3);
  });

  test.each([
    ['max_tokens', { max_tokens: 5 }, { stop_reason: 'max_tokens', stop_sequence: null }],
    ['a stop sequence', { stop_sequences: ['two'] }, { stop_reason: 'stop_sequence', stop_sequence: 'two' }],
    ['its own end', {}, { stop_reason: 'end_turn', stop_sequence: null }],
  ])('is told that %s ended the answer', async (_, fields, expected) => {
    const client = await clientOf('one two three');
    const { tools: __, ...plain } = request;
    expect(await client.messages.create({ ...plain, ...fields })).toMatchObject(expected);
  });

  test('reads refusals as its own errors', async () => {
    const client = await clientOf('x');
    const unknown = client.messages.create({ ...request, model: 'nobody' });
    await expect(unknown).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    const wrong = client.messages.create({ ...request, stop_sequences: [''] });
    await expect(wrong).rejects.toMatchObject({
      status: 400,
      error: {
        type: 'error',
        error: { type: 'invalid_request_error', message: 'stop_sequences cannot contain an empty string.' },
      },
    });
  });
});

describe('a Messages request as a chat', () => {
  const base = { max_tokens: 1 };
  const said = [{ role: 'user', content: 'x' }];

  test('is held to the schema of output_config, or of its older name', () => {
    const format = { type: 'json_schema', schema: { type: 'object' } };
    const held = { type: 'json_schema', json_schema: { schema: { type: 'object' } } };
    const output_config = { format, effort: 'low' };
    expect(chatBodyOfMessages({ ...base, messages: said, output_config })).toEqual({
      ...base,
      messages: said,
      response_format: held,
      reasoning_effort: 'low',
    });
    expect(chatBodyOfMessages({ ...base, messages: said, output_format: format })).toMatchObject({
      response_format: held,
    });
    const wrong = { format: { type: 'regex' } };
    expect(() => chatBodyOfMessages({ ...base, messages: said, output_config: wrong })).toThrow(
      /must be "json_schema"/,
    );
  });

  test('results of tools become messages before the text beside them', () => {
    const { messages } = chatBodyOfMessages({
      ...base,
      system: [
        { type: 'text', text: 'one' },
        { type: 'text', text: 'two' },
      ],
      messages: [
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'so', signature: '' },
            { type: 'text', text: 'wait' },
            { type: 'tool_use', id: 'a', name: 'clock', input: { zone: 'UTC' } },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'and?' },
            { type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'noon' }] },
          ],
        },
      ],
    });
    expect(messages).toEqual([
      { role: 'system', content: 'one\ntwo' },
      {
        role: 'assistant',
        content: 'wait',
        reasoning_content: 'so',
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'clock', arguments: '{"zone":"UTC"}' } }],
      },
      { role: 'tool', tool_call_id: 'a', content: 'noon' },
      { role: 'user', content: 'and?' },
    ]);
  });

  test.each([
    [{ type: 'any' }, { tool_choice: 'required' }],
    [
      { type: 'auto', disable_parallel_tool_use: true },
      { tool_choice: 'auto', parallel_tool_calls: false },
    ],
    [{ type: 'tool', name: 'x' }, { tool_choice: { type: 'function', function: { name: 'x' } } }],
  ])('tool_choice %j', (choice, expected) => {
    const messages = [{ role: 'user', content: 'x' }];
    expect(chatBodyOfMessages({ ...base, messages, tool_choice: choice })).toMatchObject(expected);
  });

  test.each([
    ['no messages', {}, /messages is required/],
    ['an unknown role', { messages: [{ role: 'system', content: 'x' }] }, /instructions go into system/],
    ['an image', { messages: [{ role: 'user', content: [{ type: 'image' }] }] }, /block of type "image"/],
    [
      'a tool of theirs',
      { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'bash_20250124', name: 'bash' }] },
      /runs no tools itself/,
    ],
    ['a wrong choice', { messages: [{ role: 'user', content: 'x' }], tool_choice: { type: 'x' } }, /"any"/],
  ])('%s is refused', (_, fields, message) => {
    expect(() => chatBodyOfMessages({ ...base, ...fields })).toThrow(message);
  });
});
