import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FakeEngine } from '../support/fake-engine.ts';
import { readAnswer, readEvents, startFakeEngine } from '../support/fake-engine.ts';

let engine: FakeEngine;
beforeAll(async () => {
  // 16 blocks for up to 8 sequences: some are preempted on the way.
  engine = await startFakeEngine({ blocks: 34 });
});
afterAll(() => engine.server.close(0));

const schema = {
  type: 'object',
  properties: {
    city: { type: 'string', maxLength: 6 },
    size: { enum: ['small', 'large'] },
    rivers: { type: 'array', items: { type: 'boolean' }, maxItems: 3 },
  },
  required: ['city', 'size', 'rivers'],
};
const chat = { messages: [{ role: 'user', content: 'Describe a city.' }], max_tokens: 200, seed: 5 };

describe('structured output of a model that writes noise', () => {
  test('satisfies a schema, for every choice, and ends by itself', async () => {
    const response_format = { type: 'json_schema', json_schema: { name: 'city', schema, strict: true } };
    const { choices } = await readAnswer(
      engine.post('/v1/chat/completions', { ...chat, n: 8, response_format }),
    );
    expect(choices).toHaveLength(8);
    for (const { message, finish_reason } of choices) {
      const { city, size, rivers } = JSON.parse(message.content!);
      expect([typeof city, ['small', 'large'].includes(size), Array.isArray(rivers)]).toEqual([
        'string',
        true,
        true,
      ]);
      expect(finish_reason).toBe('stop');
    }
    expect(new Set(choices.map(({ message }) => message.content)).size).toBeGreaterThan(1);
    engine.core.checkIntegrity();
  });

  test('streams the same as it answers whole', async () => {
    const body = { ...chat, structured_outputs: { json: JSON.stringify(schema) } };
    const whole = await readAnswer(engine.post('/v1/chat/completions', body));
    const events = await readEvents(await engine.post('/v1/chat/completions', { ...body, stream: true }));
    const text = events.map(({ choices }) => choices[0]!.delta.content ?? '').join('');
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(events.at(-1)!.choices[0]!.finish_reason).toBe('stop');
  });

  test('matches a regular expression, one of several texts or a grammar', async () => {
    const complete = async (structured_outputs: object, fields: object = {}) => {
      const body = { prompt: 'hi', max_tokens: 50, structured_outputs, ...fields };
      return (await readAnswer(engine.post('/v1/completions', body))).choices[0]!;
    };
    const version = await complete({ regex: 'v\\d{2}\\.\\d-(alpha|beta)' });
    expect(version.text).toMatch(/^v\d{2}\.\d-(alpha|beta)$/);
    expect(version.finish_reason).toBe('stop');
    for (const temperature of [0, 1])
      expect(['yes', 'no', 'perhaps']).toContain(
        (await complete({ choice: ['yes', 'no', 'perhaps'] }, { temperature })).text,
      );
    const sum = 'root ::= number ("+" number){2}\nnumber ::= [1-9] [0-9]? # no zero';
    expect((await complete({ grammar: sum }, { temperature: 1 })).text).toMatch(/^([1-9]\d?\+){2}[1-9]\d?$/);
    expect((await complete({}, { structured_outputs: null, guided_grammar: sum })).text).toMatch(/\+/);
    const long = await complete({ regex: '[a-z]*' }, { max_tokens: 12, logit_bias: { 0: -100 } });
    expect([long.text.length, long.finish_reason]).toEqual([12, 'length']);
    expect(long.text).toMatch(/^[a-z]{12}$/);
  });

  test('holds for json_object as far as the text goes', async () => {
    const body = { ...chat, max_tokens: 40, response_format: { type: 'json_object' } };
    const { choices } = await readAnswer(engine.post('/v1/chat/completions', body));
    expect(choices[0]!.message.content!.startsWith('{')).toBe(true);
  });
});

describe('a tool choice that leaves no freedom', () => {
  const node = {
    type: 'object',
    properties: { id: { type: 'integer' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
    required: ['id', 'next'],
  };
  const tools = [
    { type: 'function', function: { name: 'walk', parameters: { ...node, $defs: { node } } } },
    { type: 'function', function: { name: 'stop' } },
  ];

  test('by name: the answer is the arguments of that tool', async () => {
    const tool_choice = { type: 'function', function: { name: 'walk' } };
    const { choices } = await readAnswer(
      engine.post('/v1/chat/completions', { ...chat, n: 4, tools, tool_choice }),
    );
    for (const { message, finish_reason } of choices) {
      expect([finish_reason, message.content, message.tool_calls.length]).toEqual(['stop', null, 1]);
      const [call] = message.tool_calls;
      expect(call).toMatchObject({ type: 'function', function: { name: 'walk' } });
      expect(typeof JSON.parse(call!.function.arguments).id).toBe('number');
    }
  });

  test('required: the answer is one or more calls', async () => {
    const fields = { n: 4, tools, tool_choice: 'required', parallel_tool_calls: false, max_tokens: 300 };
    const { choices } = await readAnswer(engine.post('/v1/chat/completions', { ...chat, ...fields }));
    for (const { message, finish_reason } of choices) {
      expect(finish_reason).toBe('tool_calls');
      expect(message.tool_calls).toHaveLength(1);
      const { name, arguments: given } = message.tool_calls[0]!.function;
      expect(Object.keys(JSON.parse(given))).toEqual(name === 'walk' ? ['id', 'next'] : []);
    }
  });

  test.each([
    [{ tool_choice: 'required' }, /`tools` must be set/],
    [{ tools, tool_choice: { type: 'function', function: { name: 'fly' } } }, /not among the tools/],
    [{ tools, tool_choice: 'maybe' }, /tool_choice must be/],
  ])('%# is refused with a reason', async (fields, reason) => {
    const response = await engine.post('/v1/chat/completions', { ...chat, ...fields });
    expect(response.status).toBe(400);
    expect((await readAnswer(response)).error.message).toMatch(reason);
  });
});

test.each([
  [{ response_format: { type: 'json_schema' } }, /json_schema\.schema is required/],
  [
    { response_format: { type: 'json_schema', json_schema: { schema: { type: 'array', contains: {} } } } },
    /"contains"/,
  ],
  [{ structured_outputs: { regex: '(' } }, /cannot be used/],
  [{ structured_outputs: { regex: 'a', choice: ['b'] } }, /exactly one/],
  [{ structured_outputs: { choice: [] } }, /list of strings/],
  [{ structured_outputs: { grammar: 'root ::= a' } }, /"a", which does not exist/],
  [{ guided_grammar: 'start: "a"' }, /grammars of Lark are not read/],
  [{ structured_outputs: { json: '{' } }, /is not valid JSON/],
  [{ structured_outputs: { json: {} }, response_format: { type: 'json_object' } }, /together/],
])('%j is refused with a reason', async (fields, reason) => {
  const response = await engine.post('/v1/chat/completions', { ...chat, ...fields });
  expect(response.status).toBe(400);
  expect((await readAnswer(response)).error.message).toMatch(reason);
});
