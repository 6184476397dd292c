import { LRUCache } from 'lru-cache';
import { ServiceError } from '../../protocol/errors.ts';
import type { BackgroundResponse } from './background-response.ts';
import type { OutputBlock } from './output-blocks.ts';
import type { RequestBody } from './request-fields.ts';
import { clipped, invalid } from './request-fields.ts';
import type { ResponsesEvent } from './response-events.ts';

export interface StoredResponse {
  /** As it was answered. */
  readonly response: object;
  /** The conversation up to and with the answer, as messages of a chat; instructions are not part of it. */
  readonly messages: readonly RequestBody[];
  /** Of a stream in the background. */
  readonly events?: readonly ResponsesEvent[] | undefined;
}

const mostResponses = 1000;
const mostCharacters = 64 * 2 ** 20;

/**
 * Responses that later requests go on from, in memory: the latest 1,000, up to 64 Mi characters; beside them those that
 * are made in the background.
 */
export class StoredResponses {
  readonly #byId = new LRUCache<string, StoredResponse>({
    max: mostResponses,
    maxSize: mostCharacters,
    sizeCalculation: (stored) => JSON.stringify(stored).length,
  });
  readonly #running = new Map<string, BackgroundResponse>();
  readonly #runs = new Set<Promise<void>>();

  keep(id: string, stored: StoredResponse): void {
    this.#byId.set(id, stored);
  }

  /** `done` makes a response in the background; what it resolves to is kept in the end. */
  begin(id: string, background: BackgroundResponse, done: Promise<StoredResponse>): void {
    this.#running.set(id, background);
    const run = done.then((stored) => {
      // A response that was deleted meanwhile is not kept.
      if (this.#running.delete(id)) this.keep(id, stored);
      this.#runs.delete(run);
    });
    this.#runs.add(run);
  }

  /** Throws `not_found`, or that the answer is still to come. */
  get(id: string): StoredResponse {
    const stored = this.#byId.get(id);
    if (stored !== undefined) return stored;
    if (this.#running.has(id))
      throw invalid(`Response with id '${clipped(id)}' is not complete yet.`, 'previous_response_id');
    throw notFound(id);
  }

  /** In the background now. */
  running(id: string): BackgroundResponse | undefined {
    return this.#running.get(id);
  }

  /** Throws `not_found`. */
  delete(id: string): void {
    this.#running.get(id)?.cancel();
    const wasRunning = this.#running.delete(id);
    if (!this.#byId.delete(id) && !wasRunning) throw notFound(id);
  }

  /** Ends what is made in the background. */
  cancelAll(): void {
    for (const background of this.#running.values()) background.cancel();
  }

  /** Resolves when nothing is made in the background any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#runs);
  }
}

function notFound(id: string): ServiceError {
  return new ServiceError(
    'not_found',
    `Response with id '${clipped(id)}' not found: it was never stored here, or others came after it.`,
    { param: 'response_id' },
  );
}

/** An answer as the message of a chat. */
export function messageOfBlocks(blocks: readonly OutputBlock[]): RequestBody {
  const textOf = (kind: OutputBlock['kind']) =>
    blocks
      .filter((block) => block.kind === kind)
      .map(({ text }) => text)
      .join('\n');
  const calls = blocks
    .filter(({ kind }) => kind === 'call')
    .map(({ callId, name, text }) => ({
      id: callId,
      type: 'function',
      function: { name, arguments: text === '' ? '{}' : text },
    }));
  const reasoning = textOf('reasoning');
  return {
    role: 'assistant',
    content: textOf('content'),
    ...(reasoning === '' ? {} : { reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}
