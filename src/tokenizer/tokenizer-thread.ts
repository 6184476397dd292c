import { Worker } from 'node:worker_threads';
import type { ChatTemplateInputs, RenderedChat } from './chat-template.ts';
import { ChatTemplateError } from './chat-template.ts';
import type { ContentFormat } from './content-format.ts';
import type { TokenizerFiles } from './huggingface-tokenizer.ts';
import type { PromptEncoder } from './prompt-encoder.ts';
import type { EncodeOptions } from './tokenizer.ts';

/** What the thread loads. */
export interface TokenizerThreadOptions {
  /** The folder that holds `tokenizer.json`, or what would be in it. */
  readonly source: string | TokenizerFiles;
  /** Jinja source. */
  readonly chatTemplate: string | undefined;
  readonly contentFormat?: ContentFormat | undefined;
}

export type TokenizerJob =
  | { readonly id: number; readonly text: string; readonly options: EncodeOptions }
  | { readonly id: number; readonly chat: ChatTemplateInputs };

export type TokenizerAnswer =
  | { readonly id: number; readonly text: string; readonly tokenIds: Uint32Array }
  | { readonly id: number; readonly error: string; readonly isTemplateError: boolean };

interface Waiting {
  resolve(rendered: RenderedChat): void;
  reject(error: Error): void;
}

/**
 * Encodes in a thread of its own, one prompt after the other. A thread that dies takes its prompts with it, each
 * rejected; the next prompt starts a new one.
 */
export function createTokenizerThread(options: TokenizerThreadOptions): PromptEncoder {
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  let worker: Worker | undefined = start();

  function start(): Worker {
    const started = new Worker(new URL('./tokenizer-worker.js', import.meta.url), { workerData: options });
    // Only prompts that wait keep the process alive.
    started.unref();
    started.on('message', (answer: TokenizerAnswer) => settle(answer));
    started.on('error', (error) => fail(started, error));
    started.on('exit', (code) => fail(started, new Error(`the tokenizer's thread ended with code ${code}`)));
    return started;
  }

  function fail(failed: Worker, error: Error): void {
    if (worker !== failed) return;
    worker = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  }

  function settle(answer: TokenizerAnswer): void {
    const entry = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (waiting.size === 0) worker?.unref();
    if ('tokenIds' in answer) entry?.resolve({ text: answer.text, tokenIds: Array.from(answer.tokenIds) });
    else
      entry?.reject(answer.isTemplateError ? new ChatTemplateError(answer.error) : new Error(answer.error));
  }

  function send(job: TokenizerJob): Promise<RenderedChat> {
    return new Promise((resolve, reject) => {
      worker ??= start();
      worker.ref();
      waiting.set(job.id, { resolve, reject });
      worker.postMessage(job);
    });
  }

  return {
    hasChatTemplate: options.chatTemplate !== undefined,
    encode: async (text, encodeOptions) =>
      (await send({ id: ++lastId, text, options: encodeOptions })).tokenIds,
    renderChat: (chat) => send({ id: ++lastId, chat }),
    close: async () => {
      const closing = worker;
      if (closing === undefined) return;
      fail(closing, new Error('the tokenizer is closed'));
      await closing.terminate();
    },
  };
}
