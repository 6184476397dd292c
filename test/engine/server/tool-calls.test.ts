import { describe, expect, test } from 'vitest';
import { reasoningFormats, toolCallFormats } from '../../../src/engine/output-parsers/index.ts';
import type { OutputFormats } from '../../../src/engine/server/index.ts';
import type { FakeEngine } from '../support/fake-engine.ts';
import { readAnswer, readEvents } from '../support/fake-engine.ts';
import { ScriptedModel } from '../support/scripted-model.ts';
import { startedEngines } from '../support/started-engines.ts';

const start = startedEngines();

async function write(text: string, formats: Partial<OutputFormats>): Promise<FakeEngine> {
  const engine = await start(
    { model: new ScriptedModel(text) },
    { outputFormats: { toolCalls: undefined, reasoning: undefined, ...formats } },
  );
  return engine;
}

const hermes = { toolCalls: toolCallFormats['hermes']! };
const qwen3 = { reasoning: reasoningFormats['qwen3']! };
const body = {
  messages: [{ role: 'user', content: 'Weather?' }],
  tools: [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }],
};
const answer =
  '<think>Hm.</think>Looking. <tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>' +
  '<tool_call>{"name": "clock", "arguments": {}}</tool_call>';

describe('chat completions with parsers', () => {
  test('carry reasoning, content and calls apart', async () => {
    const engine = await write(answer, { ...hermes, ...qwen3 });
    const { choices } = await readAnswer(engine.post('/v1/chat/completions', body));
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: 'Looking.',
        reasoning: 'Hm.',
        tool_calls: [
          { type: 'function', function: { name: 'weather', arguments: '{"city": "Bern"}' } },
          { type: 'function', function: { name: 'clock', arguments: '{}' } },
        ],
      },
    });
    const ids = choices[0]!.message.tool_calls.map(({ id }) => id);
    expect(ids[0]).toMatch(/^call_[0-9a-f]{24}$/);
    expect(new Set(ids).size).toBe(2);
  });

  test('stream the same, a call as its head and then its arguments', async () => {
    const engine = await write(answer, { ...hermes, ...qwen3 });
    const response = await engine.post('/v1/chat/completions', { ...body, stream: true });
    const deltas = (await readEvents(response)).map(({ choices }) => choices[0]!);
    const text = (field: 'content' | 'reasoning') => deltas.map(({ delta }) => delta[field] ?? '').join('');
    expect([text('reasoning'), text('content')]).toEqual(['Hm.', 'Looking.']);
    const calls = deltas.flatMap(({ delta }) => delta.tool_calls ?? []);
    const heads = calls.filter((call) => call.function.name !== undefined);
    expect(heads).toMatchObject([
      { index: 0, type: 'function', function: { name: 'weather', arguments: '' } },
      { index: 1, type: 'function', function: { name: 'clock', arguments: '' } },
    ]);
    const argumentsOf = (index: number) =>
      calls.map((call) => (call.index === index ? call.function.arguments : '')).join('');
    expect([argumentsOf(0), argumentsOf(1)]).toEqual(['{"city": "Bern"}', '{}']);
    expect(deltas.filter(({ finish_reason }) => finish_reason !== null)).toEqual([deltas.at(-1)]);
    expect(deltas.at(-1)!.finish_reason).toBe('tool_calls');
  });

  test('without tools, or with tool_choice none, calls are text', async () => {
    const engine = await write(answer, hermes);
    for (const fields of [{ tools: undefined }, { tool_choice: 'none' }]) {
      const { choices } = await readAnswer(engine.post('/v1/chat/completions', { ...body, ...fields }));
      expect(choices[0]).toMatchObject({
        finish_reason: 'stop',
        message: { content: answer },
      });
      expect(choices[0]!.message).not.toHaveProperty('tool_calls');
    }
  });

  test('content is null beside calls; one call is enough if the request says so; reasoning may be left out', async () => {
    const engine = await write(answer.replace('Looking.', ''), { ...hermes, ...qwen3 });
    const fields = { ...body, parallel_tool_calls: false, include_reasoning: false };
    const { choices } = await readAnswer(engine.post('/v1/chat/completions', fields));
    expect(choices[0]!.message).toMatchObject({ content: null, reasoning: null });
    expect(choices[0]!.message.tool_calls).toHaveLength(1);
  });

  test('an answer that is cut off inside a call says length', async () => {
    const engine = await write(answer, hermes);
    const { choices } = await readAnswer(engine.post('/v1/chat/completions', { ...body, max_tokens: 80 }));
    expect(choices[0]!.finish_reason).toBe('length');
    expect(choices[0]!.message.tool_calls[0]!.function.name).toBe('weather');
  });
});
