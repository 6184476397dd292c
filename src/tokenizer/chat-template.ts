import { Template } from '@huggingface/jinja';
import { guardSpecialTokens } from './special-text.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface ChatTemplateInputs {
  readonly messages: readonly Readonly<Record<string, unknown>>[];
  readonly tools: readonly unknown[] | undefined;
  /** Ends the prompt with the head of the assistant's turn. */
  readonly addGenerationPrompt: boolean;
  /** Further variables of the template (`chat_template_kwargs`). */
  readonly variables: Readonly<Record<string, unknown>>;
}

export interface RenderedChat {
  readonly text: string;
  readonly tokenIds: number[];
}

export interface ChatTemplate {
  /** Throws `ChatTemplateError` if the template refuses the messages. */
  render(inputs: ChatTemplateInputs): RenderedChat;
}

/** The template could not be used, or does not accept these messages: the request is at fault. */
export class ChatTemplateError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ChatTemplateError';
  }
}

/** Parses a template once. Throws `ChatTemplateError` on broken Jinja. */
export function createChatTemplate(source: string, tokenizer: Tokenizer): ChatTemplate {
  const template = attempt('The chat template could not be parsed', () => new Template(source));
  return {
    render: ({ messages, tools, addGenerationPrompt, variables }) => {
      const guard = guardSpecialTokens({ messages, tools }, [...tokenizer.specialTokens.keys()]);
      const rendered = attempt('The chat template refuses these messages', () =>
        template.render({
          ...variables,
          messages: guard.value.messages,
          tools: guard.value.tools ?? null,
          documents: variables['documents'] ?? null,
          add_generation_prompt: addGenerationPrompt,
          bos_token: tokenizer.bosToken ?? '',
          eos_token: tokenizer.eosToken ?? '',
        }),
      );
      // The template writes the control tokens, a beginning-of-text token included.
      const parts = guard.split(rendered);
      const tokenIds = parts.flatMap((part) => tokenizer.encode(part, { addSpecialTokens: false }));
      return { text: parts.join(''), tokenIds };
    },
  };
}

function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new ChatTemplateError(`${what}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}
