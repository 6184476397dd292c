import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createChatTemplate } from '../../src/tokenizer/chat-template.ts';
import type * as Room from '../../src/tokenizer/index.ts';
import { loadTokenizer } from '../../src/tokenizer/index.ts';

/** The thread's entry is JavaScript, so these tests use the built files. */
const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const isBuilt = existsSync(inRepository('dist/src/tokenizer/tokenizer-worker.js'));
const { createTokenizerThread, ChatTemplateError } = isBuilt
  ? ((await import(inRepository('dist/src/tokenizer/index.js'))) as typeof Room)
  : ({} as typeof Room);
beforeEach(({ skip }) => skip(!isBuilt, 'not built; run npm run build'));

const folder = inRepository('config/models/pointsman-mini');
const { tokenizer, chatTemplate } = loadTokenizer(folder)!;
const chat = (content: string): Room.ChatTemplateInputs => ({
  messages: [{ role: 'user', content }],
  tools: undefined,
  addGenerationPrompt: true,
  variables: {},
});
const refusing = "{{ raise_exception('not like this') }}";

const open: Room.PromptEncoder[] = [];
function start(template = chatTemplate) {
  const thread = createTokenizerThread({ source: folder, chatTemplate: template });
  open.push(thread);
  return thread;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((thread) => thread.close()));
});

describe('the tokenizer in its own thread', () => {
  test('encodes texts and chats as the tokenizer does on this thread', async () => {
    const thread = start();
    const text = 'What is a KV block? <|im_end|> '.repeat(200);
    const [tokenIds, rendered] = await Promise.all([
      thread.encode(text, { addSpecialTokens: true }),
      thread.renderChat(chat(text)),
    ]);
    expect(tokenIds).toEqual(tokenizer.encode(text, { addSpecialTokens: true }));
    expect(rendered).toEqual(createChatTemplate(chatTemplate!, tokenizer).render(chat(text)));
  });

  test('leaves this thread free while it encodes', async () => {
    const thread = start();
    await thread.encode('warm', { addSpecialTokens: false });
    let isDone = false;
    const encoded = thread.encode('a prefix cache keeps blocks '.repeat(20_000), { addSpecialTokens: false });
    void encoded.then(() => {
      isDone = true;
    });
    let turns = 0;
    while (!isDone) {
      turns++;
      await setImmediate();
    }
    expect((await encoded).length).toBeGreaterThan(100_000);
    expect(turns).toBeGreaterThan(10);
  });

  test('a refusal of the template comes back as such, and the next prompt is encoded', async () => {
    const thread = start(refusing);
    const refusal = await thread.renderChat(chat('x')).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ChatTemplateError);
    expect(String(refusal)).toContain('not like this');
    expect(await thread.encode('x', { addSpecialTokens: false })).toHaveLength(1);
  });

  test('a thread that cannot start fails its prompts, not the process', async () => {
    const thread = createTokenizerThread({ source: inRepository('test'), chatTemplate: undefined });
    await expect(thread.encode('x', { addSpecialTokens: false })).rejects.toThrow(/no tokenizer\.json/);
    await expect(thread.encode('x', { addSpecialTokens: false })).rejects.toThrow(/no tokenizer\.json/);
  });

  test('closing rejects what still waits', async () => {
    const thread = start();
    const encoded = thread.encode('x'.repeat(1_000_000), { addSpecialTokens: false });
    await Promise.all([expect(encoded).rejects.toThrow(/closed/), thread.close()]);
  });
});
