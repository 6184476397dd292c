/** Bounds on what one peer may make us hold or do. */
export interface Http2Limits {
  readonly maxConcurrentStreams: number;
  /** Bytes of a header block as sent, CONTINUATION included. */
  readonly maxHeaderBlockBytes: number;
  /** Bytes of the decoded list, with 32 for each field (RFC 9113, 6.5.2). */
  readonly maxHeaderListBytes: number;
  readonly hpackTableBytes: number;
  /** Receive windows: what a peer may send before we have taken it. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Bytes that may wait in the socket before streams are told to stop. */
  readonly maxQueuedBytes: number;
  /** Bytes in the socket over which we stop reading until it has drained. */
  readonly maxUnsentBytes: number;
  /** Bytes that may wait for the peer's windows, in all streams; a stream that sends more is reset. */
  readonly maxHeldBytes: number;
  /** Frames that cost us more than the peer: resets, pings, settings, empty data, errors. Burst and rate. */
  readonly controlBurst: number;
  readonly controlPerSecond: number;
  /** Streams that the peer opens and resets (CVE-2023-44487). Burst and rate. */
  readonly resetBurst: number;
  readonly resetsPerSecond: number;
  /** The preface and first SETTINGS must come within this time. */
  readonly prefaceTimeoutMs: number;
  /** Silence after which we ping, and after which an unanswered ping ends the connection. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** A connection without streams is closed after this time. */
  readonly idleTimeoutMs: number;
}

export const defaultLimits: Http2Limits = {
  maxConcurrentStreams: 10_000,
  maxHeaderBlockBytes: 256 * 1024,
  maxHeaderListBytes: 64 * 1024,
  hpackTableBytes: 4096,
  streamWindowBytes: 1 << 20,
  connectionWindowBytes: 16 << 20,
  maxQueuedBytes: 1 << 20,
  maxUnsentBytes: 16 << 20,
  maxHeldBytes: 256 << 20,
  controlBurst: 1000,
  controlPerSecond: 200,
  resetBurst: 5000,
  resetsPerSecond: 1000,
  prefaceTimeoutMs: 10_000,
  keepaliveMs: 60_000,
  keepaliveTimeoutMs: 20_000,
  idleTimeoutMs: 3_600_000,
};
