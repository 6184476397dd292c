import { describe, expect, test } from 'vitest';
import { reasoningFormats } from '../../../src/engine/output-parsers/index.ts';
import {
  createByteTokenizer,
  createChatTemplate,
  createPromptEncoder,
} from '../../../src/tokenizer/index.ts';
import type { Answer, FakeEngine } from '../support/fake-engine.ts';
import { fakeVocabSize } from '../support/fake-engine.ts';
import { ScriptedModel } from '../support/scripted-model.ts';
import { startedEngines } from '../support/started-engines.ts';

const start = startedEngines();

const messages = [
  { role: 'user', content: 'Say abc.' },
  { role: 'assistant', content: ' a <b> ' },
];

async function ask(engine: FakeEngine, body: object) {
  const response = await engine.post('/v1/chat/completions', { messages, max_tokens: 3, ...body });
  const answer = (await response.json()) as Answer & { prompt_text?: string; kv_transfer_params: null };
  return { status: response.status, ...answer };
}

const promptOf = async (engine: FakeEngine, body: object) =>
  (await ask(engine, { return_prompt_text: true, ...body })).prompt_text;

describe('the prompt of a chat', () => {
  test('ends within the final message that is to be continued', async () => {
    const engine = await start();
    expect(await promptOf(engine, { continue_final_message: true })).toBe(
      'user: Say abc.\nassistant:  a <b> ',
    );
    expect(await promptOf(engine, {})).toBe('user: Say abc.\nassistant:  a <b> \na:');
    const both = await ask(engine, { continue_final_message: true, add_generation_prompt: true });
    expect(both).toMatchObject({ status: 400, error: { param: 'continue_final_message' } });
    const nothing = await ask(engine, {
      continue_final_message: true,
      messages: [{ role: 'user', content: '' }],
    });
    expect(nothing.error.message).toMatch(/final message cannot be continued/);
  });

  test('is made by the request’s own template where that is trusted, else refused', async () => {
    const chat_template = '{{ documents[0].text }}/{{ effort }}/{{ messages[0].content }}';
    const body = { chat_template, documents: [{ text: 'doc' }], chat_template_kwargs: { effort: 2 } };
    expect(await ask(await start(), body)).toMatchObject({ status: 400, error: { param: 'chat_template' } });
    const engine = await start({}, { chat: { trustsRequestTemplates: true, variables: { effort: 1 } } });
    expect(await promptOf(engine, body)).toBe('doc/2/Say abc.');
    expect(await promptOf(engine, { ...body, chat_template_kwargs: {} })).toBe('doc/1/Say abc.');
    expect(await ask(engine, { chat_template: '{% for %}' })).toMatchObject({ status: 400 });
  });

  test('knows how much to reason', async () => {
    const chat_template = '{{ reasoning_effort }} {{ enable_thinking }}';
    const engine = await start({}, { chat: { trustsRequestTemplates: true, variables: {} } });
    expect(await promptOf(engine, { chat_template, reasoning_effort: 'low' })).toBe('low true');
    expect(await promptOf(engine, { chat_template, reasoning_effort: 'none' })).toBe('none false');
    expect(await ask(engine, { reasoning_effort: 'much' })).toMatchObject({
      status: 400,
      error: { param: 'reasoning_effort' },
    });
  });

  test('has contents as the template reads them', async () => {
    const tokenizer = createByteTokenizer(fakeVocabSize);
    const parts = [
      { type: 'text', text: 'x' },
      { type: 'text', text: 'y' },
    ];
    const render = (source: string, content: unknown, format?: 'auto' | 'string' | 'openai') =>
      createChatTemplate(source, tokenizer, format).render({
        messages: [{ role: 'user', content }],
        tools: undefined,
        addGenerationPrompt: false,
        variables: {},
      }).text;
    const plain = '{{ messages[0].content }}';
    const byPart =
      "{% for m in messages %}{% for part in m['content'] %}[{{ part.text }}]{% endfor %}{% endfor %}";
    const either = `{% for message in messages %}{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content | list %}[{{ part.text }}]{% endfor %}{% endif %}{% endfor %}`;
    expect([render(plain, 'x'), render(plain, parts)]).toEqual(['x', 'x\ny']);
    expect([render(byPart, 'x'), render(byPart, parts)]).toEqual(['[x]', '[x][y]']);
    expect([render(either, 'x'), render(either, parts)]).toEqual(['x', '[x][y]']);
    expect([render(either, 'x', 'openai'), render(either, parts, 'string')]).toEqual(['[x]', 'x\ny']);
  });

  test('calls developers the system where the template does not know them', async () => {
    const developer = { messages: [{ role: 'developer', content: 'Be brief.' }] };
    expect(await promptOf(await start(), developer)).toBe('system: Be brief.\na:');
    const tokenizer = createByteTokenizer(fakeVocabSize);
    const template = createChatTemplate('{# developer #}{{ messages[0].role }}', tokenizer);
    const engine = await start({}, { prompts: createPromptEncoder(tokenizer, template) });
    expect(await promptOf(engine, developer)).toBe('developer');
  });
});

describe('the answer of a chat', () => {
  test('begins with the message that it goes on with, if echo asks for it', async () => {
    const engine = await start({ model: new ScriptedModel('cd') });
    const body = { continue_final_message: true, echo: true };
    expect((await ask(engine, body)).choices[0]?.message.content).toBe(' a <b> cd');
    const response = await engine.post('/v1/chat/completions', { messages, ...body, stream: true });
    const text = await response.text();
    const contents = [...text.matchAll(/"delta":\{[^}]*"content":"([^"]*)"/g)].map(([, content]) => content);
    expect(contents.join('')).toBe(' a <b> cd');
    const alone = { messages: messages.slice(0, 1), echo: true };
    expect((await ask(engine, alone)).choices[0]?.message.content).toBe('cd');
  });

  test('bears the id that the body or, before it, the header gives', async () => {
    const engine = await start();
    expect((await ask(engine, { request_id: 'mine' })).id).toBe('chatcmpl-mine');
    const body = { messages, max_tokens: 1, request_id: 'mine' };
    const headed = await engine.post('/v1/chat/completions', body, { 'x-request-id': 'theirs' });
    expect(((await headed.json()) as Answer).id).toBe('chatcmpl-theirs');
    expect(await ask(engine, { request_id: 5 })).toMatchObject({
      status: 400,
      error: { param: 'request_id' },
    });
  });

  test('passes over KV transfers, which this engine has none of', async () => {
    const answer = await ask(await start(), { kv_transfer_params: { do_remote_decode: true } });
    expect(answer).toMatchObject({ status: 200, kv_transfer_params: null });
  });

  test('comes in events of as many tokens as the request says', async () => {
    const engine = await start();
    const events = async (stream_interval: number) => {
      const body = { prompt: 'x', max_tokens: 13, ignore_eos: true, stream: true, stream_interval };
      const text = await (await engine.post('/v1/completions', { ...body, return_token_ids: true })).text();
      return [...text.matchAll(/"token_ids":\[([^\]]*)\]/g)].map(([, ids = '']) => ids.split(',').length);
    };
    const counts = await events(5);
    expect(counts[0]).toBe(1);
    expect(counts.slice(1, -1).every((count) => count >= 5)).toBe(true);
    expect(counts.reduce((sum, count) => sum + count)).toBe(13);
  });

  test('counts the tokens of its reasoning where the vocabulary has marks for it', async () => {
    const bytes = createByteTokenizer(fakeVocabSize);
    const marks: Readonly<Record<string, number>> = { '<think>': 1, '</think>': 2 };
    const tokenizer: typeof bytes = {
      ...bytes,
      encode: (text, options) => (text in marks ? [marks[text]!] : bytes.encode(text, options)),
      createDetokenizer: (options) => {
        const inner = bytes.createDetokenizer(options);
        const written = Object.entries(marks);
        return {
          push: (tokenId) => written.find(([, id]) => id === tokenId)?.[0] ?? inner.push(tokenId),
          flush: () => inner.flush(),
        };
      },
    };
    const engine = await start(
      { model: new ScriptedModel('\u0001Hm.\u0002Yes') },
      { tokenizer, outputFormats: { toolCalls: undefined, reasoning: reasoningFormats['qwen3']! } },
    );
    const { choices, usage } = await ask(engine, { max_tokens: 50 });
    expect(choices[0]?.message).toMatchObject({ reasoning: 'Hm.', content: 'Yes' });
    expect(usage).toMatchObject({ completion_tokens: 9, completion_tokens_details: { reasoning_tokens: 3 } });
  });
});

test.each(['logprob_token_ids', 'thinking_token_budget', 'repetition_detection', 'logits_processors'])(
  '%s is refused by name',
  async (field) => {
    expect(await ask(await start(), { [field]: [1] })).toMatchObject({
      status: 400,
      error: { param: field },
    });
  },
);

test('guided_* fields still hold the answer to a structure', async () => {
  const engine = await start();
  const choice = await ask(engine, { guided_choice: ['yes', 'no'], max_tokens: 10 });
  expect(['yes', 'no']).toContain(choice.choices[0]?.message.content);
  const regex = await ask(engine, { guided_regex: '[ab]{3}', max_tokens: 10 });
  expect(regex.choices[0]?.message.content).toMatch(/^[ab]{3}$/);
  const grammar = await ask(engine, { guided_grammar: 'root ::= "a"{3}', max_tokens: 10 });
  expect(grammar.choices[0]?.message.content).toBe('aaa');
});
