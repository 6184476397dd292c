import { LRUCache } from 'lru-cache';
import { ServiceError } from '../../protocol/errors.ts';
import type { OutputBlock } from './output-blocks.ts';
import type { RequestBody } from './request-fields.ts';
import { clipped } from './request-fields.ts';

export interface StoredResponse {
  /** As it was answered. */
  readonly response: object;
  /** The conversation up to and with the answer, as messages of a chat; instructions are not part of it. */
  readonly messages: readonly RequestBody[];
}

const mostResponses = 1000;
const mostCharacters = 64 * 2 ** 20;

/** Responses that later requests go on from, in memory: the latest 1,000, up to 64 Mi characters. */
export class StoredResponses {
  readonly #byId = new LRUCache<string, StoredResponse>({
    max: mostResponses,
    maxSize: mostCharacters,
    sizeCalculation: (stored) => JSON.stringify(stored).length,
  });

  keep(id: string, stored: StoredResponse): void {
    this.#byId.set(id, stored);
  }

  /** Throws `not_found`. */
  get(id: string): StoredResponse {
    const stored = this.#byId.get(id);
    if (stored === undefined) throw notFound(id);
    return stored;
  }

  /** Throws `not_found`. */
  delete(id: string): void {
    if (!this.#byId.delete(id)) throw notFound(id);
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
