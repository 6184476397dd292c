/** What is known of one engine, as a frozen view: a scorer cannot change the pool through it. */

export interface EndpointMetrics {
  /** Requests waiting in the engine's own queue. */
  readonly queuedRequests: number;
  /** Requests in the engine's running batch. */
  readonly runningRequests: number;
  /** Share of KV blocks in use, 0 to 1. */
  readonly kvCacheUsage: number;
  /** Tokens per KV block; undefined until the engine has told. */
  readonly blockSizeTokens: number | undefined;
  /** KV blocks in all; undefined until the engine has told. */
  readonly totalBlocks: number | undefined;
  /** LoRA adapters in the running batch, and those that wait for a place. */
  readonly runningAdapters: readonly string[];
  readonly waitingAdapters: readonly string[];
  /** How many adapters fit at once; undefined if the engine serves none. */
  readonly maxAdapters: number | undefined;
  /** Age of these figures, milliseconds; Infinity if the engine was never scraped. */
  readonly ageMs: number;
}

/** Requests that this process has sent to the endpoint and not yet seen finished. Always current. */
export interface EndpointInFlight {
  readonly requests: number;
  /** Those of `requests` sent after the metrics were read, so the scraped figures cannot hold them. */
  readonly sentSinceScrape: number;
  /** Those of `requests` that have not produced their first token. */
  readonly waitingForFirstToken: number;
  /** Those of them whose first token will be seen: not where an answer comes as a whole. */
  readonly awaitedFirstTokens: number;
  /** Prompt tokens of all of them. */
  readonly promptTokens: number;
  /** Prompt tokens not believed cached, of requests before their first token. */
  readonly uncachedTokens: number;
}

/** What the pool has learned of the engine from the requests that it served; estimates until it has served some. */
export interface EndpointLearned {
  /** Time that one more uncached prompt token takes. */
  readonly prefillMsPerToken: number;
  /** False while no engine of the pool has shown a first token: the time per token is a guess. */
  readonly isPrefillKnown: boolean;
  /** Time of one decode step at the endpoint's present load: about the time per output token there. */
  readonly stepMs: number;
  /** Until the prefill that we have sent there is done, milliseconds from now. */
  readonly pendingPrefillMs: number;
  /**
   * Prefill of requests in the engine's queue that are not ours, milliseconds: as last scraped, worked off since.
   * 0 for an engine that does not tell its queue.
   */
  readonly othersPrefillMs: number;
  /** Share of its time that the prefill which we have sent there lately takes; above 1 while it falls behind. */
  readonly prefillShare: number;
  /** Our answers there that have just begun: each counts 1 at its first token and fades within a second. */
  readonly freshAnswers: number;
  /** Tokens that fit into the KV cache; undefined until the engine has told. */
  readonly kvCapacityTokens: number | undefined;
  /**
   * Tokens of the KV cache that requests hold, those that the engine has not admitted yet included: as scraped,
   * and as we have counted since. With what requests that have just ended held, where conversations mostly go on at
   * once: whoever took that memory would have them computed anew.
   */
  readonly heldTokens: number;
  /** Of what requests hold there, the part that their ends give back: no prefix that several of ours share. */
  readonly releasableTokens: number;
  /** Length of the answers that the whole pool gives. */
  readonly meanOutputTokens: number;
}

export interface Endpoint {
  /** Unique in the pool: a pod's name, or the address. */
  readonly name: string;
  /** `host:port` or `[ipv6]:port`, as it goes into the destination header. */
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Models and adapters that the engine lists; empty until it has told. */
  readonly models: readonly string[];
  /** Those of `models` that the engine tells to be adapters of another. */
  readonly adapters: readonly string[];
  /** Reachable, and not ejected for failures. */
  readonly isReady: boolean;
  /** Why `isReady` is false, for people. */
  readonly notReadyReason: string | undefined;
  readonly metrics: EndpointMetrics;
  readonly inFlight: EndpointInFlight;
  readonly learned: EndpointLearned;
  /** Stable small integer of this endpoint in this pool, for indexes that keep bit sets. */
  readonly slot: number;
}
