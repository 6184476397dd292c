/** A request as the scheduler sees it: immutable, parsed once, small. */

/** Chained 64-bit hashes of the leading blocks of a prompt, as two 32-bit lanes; `[count]` each. */
export interface PrefixHashes {
  readonly count: number;
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  /** Prompt tokens (estimated) that one hashed block stands for. */
  readonly blockTokens: number;
}

export interface Slo {
  /** Time to first token, milliseconds. */
  readonly ttftMs: number | undefined;
  /** Time per output token, milliseconds. */
  readonly tpotMs: number | undefined;
  /** The targets are a promise: such a request takes the endpoint that meets them most narrowly. */
  readonly isStrict?: boolean;
}

export interface InferenceRequest {
  /** Made by us; a client's `x-request-id` is only echoed and logged. */
  readonly id: string;
  /** `model` of the body, or what it is rewritten to; undefined when the request names none. */
  readonly model: string | undefined;
  /** The model that the client named, before any rewriting. */
  readonly requestedModel: string | undefined;
  /** Higher is sooner; negative may be shed. 0 by default. */
  readonly priority: number;
  /** Who asks, for fairness. */
  readonly tenant: string;
  /** Names in lower case. Repeated headers are joined with a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** Estimated (4 bytes a token) unless a tokenizer has counted. */
  readonly promptTokens: number;
  /** Length of the body as the client sent it; 0 if it was not seen. */
  readonly bodyBytes: number;
  readonly prefix: PrefixHashes;
  readonly isStreaming: boolean;
  readonly slo: Slo;
}

export const emptyPrefix: PrefixHashes = Object.freeze({
  count: 0,
  low: new Uint32Array(0),
  high: new Uint32Array(0),
  blockTokens: 1,
});
