import { platform, setPriority } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import { parentPort, workerData } from 'node:worker_threads';
import type { RenderedChat } from './chat-template.ts';
import { ChatTemplateError, createChatTemplate } from './chat-template.ts';
import { createTokenizer, loadTokenizer } from './load-tokenizer.ts';
import type { TokenizerAnswer, TokenizerJob, TokenizerThreadOptions } from './tokenizer-thread.ts';

const niceness = 5;

/** Entry of the tokenizer's thread. */
function runTokenizer(
  port: MessagePort,
  { source, chatTemplate, contentFormat }: TokenizerThreadOptions,
): void {
  // Whoever answers requests comes first; on Linux priority belongs to the thread.
  if (platform() === 'linux') setPriority(0, niceness);
  const tokenizer =
    typeof source === 'string' ? loadTokenizer(source)?.tokenizer : createTokenizer('the tokenizer', source);
  if (tokenizer === undefined) throw new Error(`there is no tokenizer.json in ${source}`);
  const template =
    chatTemplate === undefined ? undefined : createChatTemplate(chatTemplate, tokenizer, contentFormat);

  const run = (job: TokenizerJob): RenderedChat => {
    if ('text' in job) return { text: '', tokenIds: tokenizer.encode(job.text, job.options) };
    if (template === undefined) throw new Error('this model has no chat template');
    return template.render(job.chat);
  };
  port.on('message', (job: TokenizerJob) => {
    try {
      const { text, tokenIds } = run(job);
      const ids = Uint32Array.from(tokenIds);
      port.postMessage({ id: job.id, text, tokenIds: ids } satisfies TokenizerAnswer, [ids.buffer]);
    } catch (error) {
      port.postMessage({
        id: job.id,
        error: error instanceof Error ? error.message : String(error),
        isTemplateError: error instanceof ChatTemplateError,
      } satisfies TokenizerAnswer);
    }
  });
}

if (parentPort !== null) runTokenizer(parentPort, workerData as TokenizerThreadOptions);
