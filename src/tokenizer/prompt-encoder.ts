import type { ChatTemplate, ChatTemplateInputs, RenderedChat } from './chat-template.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';

/**
 * Prompts to token ids. Unlike a `Tokenizer` it may take its time elsewhere: encoding costs about a
 * millisecond per kilobyte and more while the code is cold, and whoever serves requests must go on serving.
 */
export interface PromptEncoder {
  readonly hasChatTemplate: boolean;
  encode(text: string, options: EncodeOptions): Promise<number[]>;
  /** Rejects with `ChatTemplateError` if the template refuses the messages, or if there is none. */
  renderChat(inputs: ChatTemplateInputs): Promise<RenderedChat>;
  close(): Promise<void>;
}

/** Encodes on the caller's thread. */
export function createPromptEncoder(
  tokenizer: Tokenizer,
  chatTemplate: ChatTemplate | undefined,
): PromptEncoder {
  return {
    hasChatTemplate: chatTemplate !== undefined,
    encode: async (text, options) => tokenizer.encode(text, options),
    renderChat: async (inputs) => {
      if (chatTemplate === undefined) throw new Error('this model has no chat template');
      return chatTemplate.render(inputs);
    },
    close: async () => {},
  };
}

/** Characters above which a prompt is worth the way to another thread. */
const longPrompt = 4096;

/** Short prompts at once on the caller's thread, so that none waits behind a long one; long ones elsewhere. */
export function splitByLength(short: PromptEncoder, long: PromptEncoder): PromptEncoder {
  return {
    hasChatTemplate: short.hasChatTemplate,
    encode: (text, options) => (text.length > longPrompt ? long : short).encode(text, options),
    renderChat: (inputs) =>
      (countCharacters([inputs.messages, inputs.tools]) > longPrompt ? long : short).renderChat(inputs),
    close: async () => {
      await Promise.all([short.close(), long.close()]);
    },
  };
}

/** Of all strings in a JSON value. */
export function countCharacters(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, part) => sum + countCharacters(part), 0);
}
