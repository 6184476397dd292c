/**
 * Watches an engine's response go by: first token, usage, end. Never changes or delays a byte.
 * Works on server-sent events cut at any byte, and on a JSON body.
 */

export interface Usage {
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  /** `usage.prompt_tokens_details.cached_tokens`: what the engine really had in its cache. */
  readonly cachedTokens: number | undefined;
}

export interface ResponseObserver {
  /**
   * Looks at a chunk, `bytes[start, end)`, all of them by default; cost is linear in its size, memory bounded. Returns
   * true if it held the first token.
   */
  push(bytes: Uint8Array, start?: number, end?: number): boolean;
  /** The body is over; a JSON body is read now. */
  end(): void;
  readonly hasFirstToken: boolean;
  /** Data events so far, `[DONE]` not counted; 0 for a JSON body. */
  readonly events: number;
  /** The stream ended as its protocol says: `[DONE]`, `response.completed`, `message_stop`, or whole JSON. */
  readonly isComplete: boolean;
  readonly usage: Usage | undefined;
}
