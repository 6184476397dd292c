import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createCallListParser,
  createNamedCallParser,
} from '../../../src/engine/output-parsers/forced-call-parsers.ts';
import type { OutputEvent, OutputParser } from '../../../src/engine/output-parsers/index.ts';
import { chainParsers, reasoningFormats, toolCallFormats } from '../../../src/engine/output-parsers/index.ts';

/** Events with neighbours of one kind joined: what a reader ends up with. */
function join(events: readonly OutputEvent[]): OutputEvent[] {
  const joined: OutputEvent[] = [];
  for (const event of events) {
    const last = joined.at(-1);
    const isSame =
      last !== undefined &&
      last.kind === event.kind &&
      !(last.kind === 'arguments' && event.kind === 'arguments' && last.index !== event.index);
    if (isSame && 'text' in last && 'text' in event)
      joined[joined.length - 1] = { ...last, text: last.text + event.text };
    else joined.push(event);
  }
  return joined;
}

function run(parser: OutputParser, pieces: readonly string[]): OutputEvent[] {
  return join([...pieces.flatMap((piece) => parser.push(piece)), ...parser.finish()]);
}

const content = (text: string): OutputEvent => ({ kind: 'content', text });
const reasoning = (text: string): OutputEvent => ({ kind: 'reasoning', text });
const call = (index: number, name: string, text?: string): OutputEvent[] => [
  { kind: 'call', index, name },
  ...(text === undefined ? [] : [{ kind: 'arguments', index, text } as const]),
];
const tools = (name: string) => () => toolCallFormats[name]!.create();
const thinking = (name: string, prompt: string) => () => reasoningFormats[name]!.create(prompt);

const weather = '{"city": "Zürich 🏔", "unit": "}\\"{"}';
const cases: readonly (readonly [string, () => OutputParser, string, readonly OutputEvent[]])[] = [
  ['hermes, text only', tools('hermes'), 'a < b <tool', [content('a < b <tool')]],
  [
    'hermes, text and two calls',
    tools('hermes'),
    `Let me look.\n<tool_call>\n{"name": "weather", "arguments": ${weather}}\n</tool_call>\n<tool_call>{"arguments": {"a":[1,{}]}, "name": "sum"}</tool_call>`,
    [content('Let me look.'), ...call(0, 'weather', weather), ...call(1, 'sum', '{"a":[1,{}]}')],
  ],
  [
    'hermes, a call that is cut off',
    tools('hermes'),
    '<tool_call>{"name": "f", "arguments": {"a": "b',
    call(0, 'f', '{"a": "b'),
  ],
  ['hermes, no call after all', tools('qwen'), '<tool_call>nothing', [content('<tool_call>nothing')]],
  [
    'hermes, an object without a name',
    tools('hermes'),
    '<tool_call>{"x": 1}</tool_call>',
    [content('{"x": 1}')],
  ],
  [
    'hermes, arguments as a string',
    tools('hermes'),
    '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
    call(0, 'f', '{"a": 1}'),
  ],
  [
    'llama3_json, two calls',
    tools('llama3_json'),
    '<|python_tag|>{"name": "f", "parameters": {"a": "1"}}; {"name": "g", "parameters": {}}',
    [...call(0, 'f', '{"a": "1"}'), ...call(1, 'g', '{}')],
  ],
  ['llama3_json, text', tools('llama3_json'), 'Hello {you}.', [content('Hello {you}.')]],
  ['llama3_json, other JSON', tools('llama3_json'), '{"answer": 42}', [content('{"answer": 42}')]],
  [
    'mistral, a list',
    tools('mistral'),
    '[TOOL_CALLS] [{"name": "f", "arguments": {"a": [1, 2]}}, {"name": "g", "arguments": {}}]',
    [...call(0, 'f', '{"a": [1, 2]}'), ...call(1, 'g', '{}')],
  ],
  [
    'mistral, names before braces',
    tools('mistral'),
    'Sure.[TOOL_CALLS]f[ARGS]{"a": "}"}[TOOL_CALLS]g{"b": {}}',
    [content('Sure.'), ...call(0, 'f', '{"a": "}"}'), ...call(1, 'g', '{"b": {}}')],
  ],
  [
    'phi4_mini_json, text and two calls',
    tools('phi4_mini_json'),
    'Sure. functools[{"name": "f", "arguments": {"a": "]"}}, {"name": "g", "arguments": {}}]',
    [content('Sure.'), ...call(0, 'f', '{"a": "]"}'), ...call(1, 'g', '{}')],
  ],
  [
    'phi4_mini_json, text only',
    tools('phi4_mini_json'),
    'The functools module',
    [content('The functools module')],
  ],
  [
    'qwen3, both tags in the answer',
    thinking('qwen3', 'assistant\n'),
    '<think>\nHm. 1 < 2</th\n</think>\n\nYes.',
    [reasoning('\nHm. 1 < 2</th\n'), content('\n\nYes.')],
  ],
  ['qwen3, no reasoning', thinking('qwen3', '</think>\n\n'), 'Yes.', [content('Yes.')]],
  [
    'qwen3, tag in the prompt',
    thinking('qwen3', '<think>\n'),
    'Hm.</think>Yes.',
    [reasoning('Hm.'), content('Yes.')],
  ],
  ['deepseek_r1, cut off', thinking('deepseek_r1', ''), 'Hm. </thin', [reasoning('Hm. </thin')]],
  [
    'reasoning and then a call',
    () => chainParsers(reasoningFormats['qwen3']!.create(''), toolCallFormats['hermes']!.create()),
    '<think>a <tool_call></think>\n\n<tool_call>{"name":"f","arguments":{}}</tool_call>',
    [reasoning('a <tool_call>'), ...call(0, 'f', '{}')],
  ],
  [
    'required calls',
    createCallListParser,
    '[{"name": "f", "parameters": {"a": 1}}, {"name": "g", "parameters": {}}]',
    [...call(0, 'f', '{"a": 1}'), ...call(1, 'g', '{}')],
  ],
  ['a named call', () => createNamedCallParser('f'), '{"a": 1}', call(0, 'f', '{"a": 1}')],
];

describe('sorted answers', () => {
  test.each(cases)('%s', (_, create, text, expected) => {
    expect(run(create(), [text])).toEqual(expected);
  });

  test.each(cases)('%s, in any pieces', (_, create, text, expected) => {
    expect(run(create(), Array.from(text))).toEqual(expected);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length];
        expect(
          run(
            create(),
            at.slice(1).map((end, i) => text.slice(at[i], end)),
          ),
        ).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test('no text at all makes a parser fail, and content that no marker touches is kept whole', () => {
    const pieces = fc.constantFrom(
      '<tool_call>',
      '</tool_call>',
      '{',
      '}',
      '[',
      ']',
      '"',
      '\\',
      ' ',
      'a',
      ':',
      ',',
      '[TOOL_CALLS]',
      'functools[',
      '<|python_tag|>',
      '[ARGS]',
      '"name"',
      '<think>',
      '</think>',
      ';',
    );
    for (const create of [...Object.values(toolCallFormats), ...Object.values(reasoningFormats)])
      fc.assert(
        fc.property(fc.array(pieces, { maxLength: 30 }), (texts) => {
          const whole = run(create.create(''), [texts.join('')]);
          expect(run(create.create(''), texts)).toEqual(whole);
        }),
        { numRuns: 300 },
      );
  });
});
