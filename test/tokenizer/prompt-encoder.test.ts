import { describe, expect, test } from 'vitest';
import type { PromptEncoder } from '../../src/tokenizer/index.ts';
import { splitByLength } from '../../src/tokenizer/index.ts';

/** An encoder that only says which one it is. */
function named(id: number): PromptEncoder {
  return {
    hasChatTemplate: true,
    encode: async () => [id],
    renderChat: async () => ({ text: '', tokenIds: [id] }),
    close: async () => {},
  };
}

describe('prompts split by length', () => {
  const encoder = splitByLength(named(1), named(2));

  test.each([
    ['short', 4096, 1],
    ['long', 4097, 2],
  ])('a %s text goes to its encoder', async (_, length, expected) => {
    expect(await encoder.encode('x'.repeat(length), { addSpecialTokens: false })).toEqual([expected]);
  });

  test.each([
    ['short', 2000, 1],
    ['long in sum', 2100, 2],
  ])('chat messages that are %s go to their encoder', async (_, length, expected) => {
    const content = [{ type: 'text', text: 'x'.repeat(length) }];
    const { tokenIds } = await encoder.renderChat({
      messages: [
        { role: 'user', content: 'x'.repeat(length) },
        { role: 'user', content },
      ],
      tools: undefined,
      addGenerationPrompt: true,
      variables: {},
    });
    expect(tokenIds).toEqual([expected]);
  });
});
