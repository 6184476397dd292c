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
const parameters = new Map([
  [
    'write',
    {
      type: 'object',
      properties: {
        path: { type: 'string' },
        lines: { type: 'integer' },
        tags: { anyOf: [{ type: 'array' }, { type: 'null' }] },
        note: { type: ['string', 'null'] },
        force: { type: 'boolean' },
      },
    },
  ],
]);
const tools = (name: string) => () => toolCallFormats[name]!.create(parameters);
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
    'pythonic, two calls with every kind of value',
    tools('pythonic'),
    `[weather(city="Zürich 🏔, (\\"x\\")", days=3, hot=True, at=[1, -2.5, {'a': None}],), shop.sum(\n)]`,
    [
      ...call(
        0,
        'weather',
        '{"city": "Zürich 🏔, (\\"x\\")", "days": 3, "hot": true, "at": [1, -2.5, {"a": null}]}',
      ),
      ...call(1, 'shop.sum', '{}'),
    ],
  ],
  ['pythonic, a first value without a name', tools('pythonic'), '[f("x", a=1)]', [content('[f("x", a=1)]')]],
  [
    'pythonic, odd values',
    tools('pythonic'),
    `[f(a='''it's, (\n''', "x", b='', c=today() + 1, d=(1,), e="a" 'b')]`,
    call(0, 'f', '{"a": "it\'s, (\\n", "b": "", "c": "today() + 1", "d": [1], "e": "ab"}'),
  ],
  ['pythonic, cut off', tools('pythonic'), '[f(a=1, b="x', call(0, 'f', '{"a": 1')],
  [
    'pythonic, text',
    tools('pythonic'),
    '[see (1)](https://x) and [f',
    [content('[see (1)](https://x) and [f')],
  ],
  ['pythonic, text after calls', tools('pythonic'), '[f()] Done.', [...call(0, 'f', '{}'), content('Done.')]],
  [
    'qwen3_coder, values by the schema',
    tools('qwen3_coder'),
    'Let me.\n<tool_call>\n<function=write>\n<parameter=path>\n\na "b" <c>\n12 🏔\n\n</parameter>\n<parameter=lines>\n12\n</parameter>\n<parameter=tags>\n[\'x\', 1]\n</parameter>\n<parameter=note>\nnull\n</parameter>\n<parameter=force>True</parameter>\n<parameter=other>\n5\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=stop>\n</function>\n</tool_call>',
    [
      content('Let me.'),
      ...call(
        0,
        'write',
        '{"path": "\\na \\"b\\" <c>\\n12 🏔\\n", "lines": 12, "tags": ["x", 1], "note": null, "force": true, "other": "5"}',
      ),
      ...call(1, 'stop', '{}'),
    ],
  ],
  [
    'qwen3_xml, without tool_call around it, and values that the schema does not expect',
    tools('qwen3_xml'),
    '<function=write>\n<parameter=lines>\nmany\n</parameter>\n<parameter=note>\nyes\n</parameter>\n<parameter=path></parameter></function>Done.',
    [...call(0, 'write', '{"lines": "many", "note": "yes", "path": ""}'), content('Done.')],
  ],
  ['qwen3_coder, text', tools('qwen3_coder'), 'a < b <func', [content('a < b <func')]],
  [
    'qwen3_coder, cut off',
    tools('qwen3_coder'),
    '<tool_call>\n<function=write>\n<parameter=path>\n/a\n',
    call(0, 'write', '{"path": "/a'),
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
    () => chainParsers(reasoningFormats['qwen3']!.create(''), toolCallFormats['hermes']!.create(parameters)),
    '<think>a <tool_call></think>\n\n<tool_call>{"name":"f","arguments":{}}</tool_call>',
    [reasoning('a <tool_call>'), ...call(0, 'f', '{}')],
  ],
  [
    'required calls',
    createCallListParser,
    '[{"name": "f", "parameters": {"a": 1}}, {"name": "g", "parameters": {}}]',
    [...call(0, 'f', '{"a": 1}'), ...call(1, 'g', '{}')],
  ],
  [
    'required calls, cut off in arguments',
    createCallListParser,
    '[{"name": "f", "parameters": {"a',
    call(0, 'f', '{"a'),
  ],
  [
    'required calls, cut off before a name',
    createCallListParser,
    '[{"name": "f", "parameters": {"a": 1}}, {"name": "g',
    call(0, 'f', '{"a": 1}'),
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
      '(',
      ')',
      '=',
      "'",
      '<function=',
      '</function>',
      '<parameter=',
      '</parameter>',
      '>',
      '\n',
      '"name"',
      '<think>',
      '</think>',
      ';',
    );
    const parsers = [
      ...Object.values(toolCallFormats).map((format) => () => format.create(parameters)),
      ...Object.values(reasoningFormats).map((format) => () => format.create('')),
    ];
    for (const create of parsers)
      fc.assert(
        fc.property(fc.array(pieces, { maxLength: 30 }), (texts) => {
          const whole = run(create(), [texts.join('')]);
          expect(run(create(), texts)).toEqual(whole);
        }),
        { numRuns: 300 },
      );
  });
});
