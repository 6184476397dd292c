import { Template } from '@huggingface/jinja';
import { type ContentFormat, contentUse, shapeContent } from './content-format.ts';
import { guardSpecialTokens } from './special-text.ts';
import type { Tokenizer } from './tokenizer.ts';

type Message = Readonly<Record<string, unknown>>;

export interface ChatTemplateInputs {
  /** Contents are texts, or lists of `{"type": "text", "text": …}`. */
  readonly messages: readonly Message[];
  readonly tools: readonly unknown[] | undefined;
  /** Ends the prompt with the head of the assistant's turn. */
  readonly addGenerationPrompt: boolean;
  /** The prompt ends within the last message, which the model goes on with. */
  readonly continuesFinalMessage?: boolean;
  /** Jinja source to use instead; only from who may be trusted with it. */
  readonly template?: string | undefined;
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

/** Templates of requests that are kept parsed. */
const maxKept = 8;

/** Parses a template once. Throws `ChatTemplateError` on broken Jinja. */
export function createChatTemplate(
  source: string,
  tokenizer: Tokenizer,
  contentFormat: ContentFormat = 'auto',
): ChatTemplate {
  const own = parse(source, contentFormat);
  const others = new Map<string, ParsedTemplate>();
  const parsedOf = (template: string | undefined): ParsedTemplate => {
    if (template === undefined) return own;
    const parsed = others.get(template) ?? parse(template, contentFormat);
    others.delete(template);
    others.set(template, parsed);
    if (others.size > maxKept) others.delete(others.keys().next().value!);
    return parsed;
  };
  return {
    render: (inputs) => {
      const { messages, tools, addGenerationPrompt, variables } = inputs;
      const parsed = parsedOf(inputs.template);
      const guard = guardSpecialTokens({ messages, tools }, [...tokenizer.specialTokens.keys()]);
      const shown = guard.value.messages.map(parsed.shape);
      const rendered = attempt('The chat template refuses these messages', () =>
        parsed.template.render({
          ...variables,
          messages: shown,
          tools: guard.value.tools ?? null,
          documents: variables['documents'] ?? null,
          add_generation_prompt: addGenerationPrompt,
          bos_token: tokenizer.bosToken ?? '',
          eos_token: tokenizer.eosToken ?? '',
        }),
      );
      const prompt = inputs.continuesFinalMessage === true ? endWithin(rendered, shown.at(-1)) : rendered;
      // The template writes the control tokens, a beginning-of-text token included.
      const parts = guard.split(prompt);
      const tokenIds = parts.flatMap((part) => tokenizer.encode(part, { addSpecialTokens: false }));
      return { text: parts.join(''), tokenIds };
    },
  };
}

interface ParsedTemplate {
  readonly template: Template;
  /** A message as this template wants it. */
  shape(message: Message): Message;
}

function parse(source: string, contentFormat: ContentFormat): ParsedTemplate {
  const template = attempt('The chat template could not be parsed', () => new Template(source));
  const use = contentUse(template.parsed);
  const knowsDevelopers = source.includes('developer');
  return {
    template,
    shape: (message) => ({
      ...message,
      // The newer name of instructions; many templates know the older one only.
      role: message['role'] === 'developer' && !knowsDevelopers ? 'system' : message['role'],
      content: shapeContent(message['content'], contentFormat, use),
    }),
  };
}

/** The rendered text up to the end of the last message's content, as transformers' `continue_final_message`. */
function endWithin(rendered: string, message: Message | undefined): string {
  const content = message?.['content'];
  const last: unknown = Array.isArray(content) ? content.at(-1)?.text : content;
  const written = typeof last === 'string' ? last.trimStart() : '';
  const at = rendered.lastIndexOf(written.trimEnd());
  if (written === '' || at < 0)
    throw new ChatTemplateError(
      'The final message cannot be continued: the chat template does not show its content as it is.',
    );
  const isWhole = rendered.startsWith(written, at);
  return rendered.slice(0, at + (isWhole ? written : written.trimEnd()).length);
}

function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new ChatTemplateError(`${what}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}
