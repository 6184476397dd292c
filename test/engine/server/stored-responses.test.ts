import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { reasoningFormats, toolCallFormats } from '../../../src/engine/output-parsers/index.ts';
import { StoredResponses } from '../../../src/engine/server/stored-responses.ts';
import {
  createByteTokenizer,
  createChatTemplate,
  createPromptEncoder,
} from '../../../src/tokenizer/index.ts';
import { fakeVocabSize } from '../support/fake-engine.ts';
import { ScriptedModel } from '../support/scripted-model.ts';
import { openAiClient, startedEngines } from '../support/started-engines.ts';

const start = startedEngines();

const template =
  '{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments.city }}{% endfor %} | {% endfor %}';

/** OpenAI's client at an engine that stores, writes `text`, and remembers what it was asked. */
async function clientOf(text: string, storesResponses = true) {
  const tokenizer = createByteTokenizer(fakeVocabSize);
  const encoder = createPromptEncoder(tokenizer, createChatTemplate(template, tokenizer));
  const prompts: string[] = [];
  const engine = await start(
    { model: new ScriptedModel(text) },
    {
      storesResponses,
      outputFormats: { toolCalls: toolCallFormats['hermes']!, reasoning: reasoningFormats['qwen3']! },
      prompts: {
        ...encoder,
        renderChat: async (inputs) => {
          const rendered = await encoder.renderChat(inputs);
          prompts.push(rendered.text);
          return rendered;
        },
      },
    },
  );
  return { client: openAiClient(engine), prompts };
}

const call =
  '<think>Hm.</think>Wait. <tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>';
const tools = [
  { type: 'function' as const, name: 'weather', parameters: { type: 'object' }, strict: null },
] satisfies OpenAI.Responses.Tool[];

describe('stored responses', () => {
  test('are gone on from, retrieved as they were answered, and deleted', async () => {
    const { client, prompts } = await clientOf(call);
    const first = await client.responses.create({
      model: 'fake',
      input: 'Weather?',
      instructions: 'Be brief.',
      tools,
    });
    expect(first).toMatchObject({ store: true });
    const { output_text: _, ...answered } = first;
    expect(await client.responses.retrieve(first.id)).toMatchObject(answered);
    const output = first.output.find(
      ({ type }) => type === 'function_call',
    ) as OpenAI.Responses.ResponseFunctionToolCall;
    const second = await client.responses.create({
      model: 'fake',
      previous_response_id: first.id,
      input: [{ type: 'function_call_output', call_id: output.call_id, output: 'sunny' }],
    });
    expect(second.previous_response_id).toBe(first.id);
    expect(prompts).toEqual([
      'system: Be brief. | user: Weather? | ',
      'user: Weather? | assistant: Wait.weatherBern | tool: sunny | ',
    ]);
    await client.responses.delete(first.id);
    await expect(client.responses.retrieve(first.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.responses.cancel(second.id)).rejects.toMatchObject({ status: 400 });
  });

  test('are kept from streams, too, unless the request says no', async () => {
    const { client, prompts } = await clientOf('Yes.');
    const streamed = await client.responses.stream({ model: 'fake', input: 'One?' }).finalResponse();
    await client.responses.create({ model: 'fake', input: 'Two?', previous_response_id: streamed.id });
    expect(prompts[1]).toBe('user: One? | assistant: Yes. | user: Two? | ');
    const unkept = await client.responses.create({ model: 'fake', input: 'x', store: false });
    expect(unkept).toMatchObject({ store: false });
    await expect(client.responses.retrieve(unkept.id)).rejects.toMatchObject({ status: 404 });
    const unknown = client.responses.create({ model: 'fake', input: 'x', previous_response_id: 'resp_x' });
    await expect(unknown).rejects.toMatchObject({ status: 404, param: 'response_id' });
  });

  test('need their flag', async () => {
    const { client } = await clientOf('Yes.', false);
    const first = await client.responses.create({ model: 'fake', input: 'x' });
    expect(first).toMatchObject({ store: false });
    await expect(client.responses.retrieve(first.id)).rejects.toMatchObject({ status: 404 });
    const more = client.responses.create({ model: 'fake', input: 'x', previous_response_id: first.id });
    await expect(more).rejects.toMatchObject({ status: 400, param: 'previous_response_id' });
  });

  test('are no more than 1,000', () => {
    const stored = new StoredResponses();
    for (let i = 0; i <= 1000; i++) stored.keep(`resp_${i}`, { response: {}, messages: [] });
    expect(() => stored.get('resp_0')).toThrow(/not found/);
    expect(stored.get('resp_1')).toEqual({ response: {}, messages: [] });
  });
});

test('one model’s card is found by its name', async () => {
  const { client } = await clientOf('x');
  expect(await client.models.retrieve('alias')).toMatchObject({ id: 'alias', object: 'model' });
  await expect(client.models.retrieve('some/other')).rejects.toMatchObject({ status: 404, param: 'model' });
});
