/**
 * Text to tokens and back, and chat templates.
 *
 * State owned: vocabularies of loaded tokenizers; bytes of unfinished characters per text stream; the thread that
 * encodes long prompts.
 * Imports allowed: nothing of ours.
 */
export { createByteTokenizer } from './byte-tokenizer.ts';
export type { ChatTemplate, ChatTemplateInputs, RenderedChat } from './chat-template.ts';
export { ChatTemplateError, createChatTemplate } from './chat-template.ts';
export { type ContentFormat, contentFormats } from './content-format.ts';
export type { TokenizerFiles } from './huggingface-tokenizer.ts';
export type { IncrementalDetokenizer } from './incremental-detokenizer.ts';
export type { LoadedTokenizer } from './load-tokenizer.ts';
export { createTokenizer, loadTokenizer } from './load-tokenizer.ts';
export type { PromptEncoder } from './prompt-encoder.ts';
export { countCharacters, createPromptEncoder, splitByLength } from './prompt-encoder.ts';
export type { DecodeOptions, EncodeOptions, Tokenizer } from './tokenizer.ts';
export { createTokenizerThread } from './tokenizer-thread.ts';
