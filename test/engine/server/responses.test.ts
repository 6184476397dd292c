import type OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { reasoningFormats, toolCallFormats } from '../../../src/engine/output-parsers/index.ts';
import { chatBodyOfResponses } from '../../../src/engine/server/responses-request.ts';
import { ScriptedModel } from '../support/scripted-model.ts';
import { openAiClient, startedEngines } from '../support/started-engines.ts';

const start = startedEngines();

/** OpenAI's own client, at an engine that writes this text. */
async function clientOf(text: string) {
  const engine = await start(
    { model: new ScriptedModel(text) },
    { outputFormats: { toolCalls: toolCallFormats['hermes']!, reasoning: reasoningFormats['qwen3']! } },
  );
  return openAiClient(engine);
}

const answer =
  '<think>Hm.</think>Looking. <tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>';
const request = {
  model: 'fake',
  input: 'Weather?',
  instructions: 'Be brief.',
  tools: [
    { type: 'function' as const, name: 'weather', parameters: { type: 'object' }, strict: null },
  ] satisfies OpenAI.Responses.Tool[],
};
const output = [
  { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'Hm.' }] },
  { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Looking.' }] },
  { type: 'function_call', name: 'weather', arguments: '{"city": "Bern"}', status: 'completed' },
];

describe('the Responses API', () => {
  test('gives reasoning, text and a call as items', async () => {
    const client = await clientOf(answer);
    const response = await client.responses.create(request);
    expect(response).toMatchObject({ object: 'response', status: 'completed', store: false, output });
    expect(response.output_text).toBe('Looking.');
    expect(response.usage).toMatchObject({ output_tokens: answer.length + 1 });
  });

  test('streams the same, numbered and in order', async () => {
    const client = await clientOf(answer);
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    const stream = client.responses.stream(request);
    stream.on('event', (event) => events.push(event));
    const response = await stream.finalResponse();
    expect(response).toMatchObject({ status: 'completed', output });
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
    const kinds = events.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
    expect(kinds).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.reasoning_text.delta',
      'response.reasoning_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ]);
  });

  test('an answer that was cut is incomplete', async () => {
    const client = await clientOf('one two three');
    const response = await client.responses.create({ model: 'fake', input: 'x', max_output_tokens: 3 });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ type: 'message', status: 'incomplete', content: [{ text: 'one' }] }],
    });
  });

  test('refusals name the field of this API', async () => {
    const client = await clientOf('x');
    const cases = [
      [{ input: 'x', max_output_tokens: 9999 }, { param: 'max_output_tokens' }],
      [{ input: 'x'.repeat(600) }, { param: 'input' }],
      [{ input: 'x', previous_response_id: 'resp_1' }, { param: 'previous_response_id' }],
      [{ input: 'x', background: true }, { param: 'background' }],
      [
        { input: 'x', max_output_tokens: 0 },
        { param: 'max_output_tokens', message: '400 max_output_tokens must be at least 1, got 0.' },
      ],
      [
        { input: 'x', reasoning: { effort: 'lots' as 'low' } },
        {
          param: 'reasoning.effort',
          message: expect.stringMatching(/^400 reasoning\.effort must be one of/),
        },
      ],
      [
        { input: 'x', text: { format: { type: 'json_schema', name: 'x' } as never } },
        { param: 'text.format', message: '400 text.format.schema is required.' },
      ],
    ] as const;
    for (const [fields, expected] of cases) {
      const refused = client.responses.create({ model: 'fake', ...fields });
      await expect(refused).rejects.toMatchObject({ status: 400, ...expected });
    }
  });
});

describe('a Responses request as a chat', () => {
  test('a turn with its calls and their results', () => {
    const { messages } = chatBodyOfResponses({
      input: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'input_text', text: 'Time and weather?' }] },
        { type: 'reasoning', summary: [] },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Looking.' }] },
        { type: 'function_call', call_id: 'a', name: 'clock', arguments: '{}' },
        { type: 'function_call', call_id: 'b', name: 'weather', arguments: '{"city":"Bern"}' },
        { type: 'function_call_output', call_id: 'a', output: 'noon' },
      ],
    });
    expect(messages).toEqual([
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: 'Time and weather?' },
      {
        role: 'assistant',
        content: 'Looking.',
        tool_calls: [
          { id: 'a', type: 'function', function: { name: 'clock', arguments: '{}' } },
          { id: 'b', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'a', content: 'noon' },
    ]);
  });

  test('text.format is the response format', () => {
    const schema = { type: 'object' };
    const text = { format: { type: 'json_schema', name: 'x', schema, strict: true } };
    expect(chatBodyOfResponses({ input: 'x', text })).toMatchObject({
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } },
    });
  });

  test.each([
    ['nothing', {}, /input is required/],
    [
      'an image',
      { input: [{ role: 'user', content: [{ type: 'input_image' }] }] },
      /part of type "input_image"/,
    ],
    ['an unknown item', { input: [{ type: 'computer_call' }] }, /"computer_call"/],
    ['a tool of theirs', { input: 'x', tools: [{ type: 'web_search' }] }, /only "function" is known/],
  ])('%s is refused', (_, body, message) => {
    expect(() => chatBodyOfResponses(body)).toThrow(message);
  });
});
