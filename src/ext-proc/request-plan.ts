import type { ProtocolConfig } from './messages.ts';

/**
 * When a data plane lets us pick, and how it wants its messages answered. Body modes differ only in this.
 *
 *   pickOn     headers        body message        end of body
 *              NONE,          BUFFERED,           FULL_DUPLEX_STREAMED: no reply before the pick
 *              STREAMED       BUFFERED_PARTIAL    STREAMED without waiting, undeclared: for a while
 */
export interface RequestPlan {
  readonly pickOn: 'headers' | 'body_message' | 'end_of_body';
  /** `echo`: `streamed_response` pieces, in any number. `one_each`: one reply for one message, in order. */
  readonly bodyReplies: 'echo' | 'one_each';
  /** After this the pick is made from the headers alone. Undefined = wait as long as it takes. */
  readonly patience: Patience | undefined;
  /** Whether the length of a changed body must be told: elsewhere data planes drop `content-length`. */
  readonly setsLength: boolean;
  /** The one body message may be the start of a longer body (BUFFERED_PARTIAL). */
  readonly mayBeCut: boolean;
}

export interface Patience {
  readonly timeoutMs: number;
  /** What ends the wait: the first piece of the body, or its end. */
  readonly until: 'body_begins' | 'body_ends';
  /** Bytes of body that may be held unanswered; the data plane stops sending when its own buffer is full. */
  readonly heldBytes: number;
}

const fullDuplex: RequestPlan = {
  pickOn: 'end_of_body',
  bodyReplies: 'echo',
  patience: undefined,
  setsLength: false,
  mayBeCut: false,
};
const buffered: RequestPlan = {
  ...fullDuplex,
  pickOn: 'body_message',
  bodyReplies: 'one_each',
  setsLength: true,
};
const bufferedPartial: RequestPlan = { ...buffered, setsLength: false, mayBeCut: true };
/** Header mutations have no effect after the headers reply, so there is nothing better than the headers. */
const headersOnly: RequestPlan = { ...buffered, pickOn: 'headers', setsLength: false };

/** Envoy's default message timeout is 200 ms and its default buffer 1 MiB; both must not be met. */
const streamedWithoutWaiting: RequestPlan = {
  ...buffered,
  pickOn: 'end_of_body',
  setsLength: false,
  patience: { timeoutMs: 100, until: 'body_ends', heldBytes: 262_144 },
};

/**
 * No `protocol_config`: NGINX Gateway Fabric, which sends headers and the whole body at once and needs the pick
 * in the headers reply, or an old Envoy, which waits for that reply before it sends anything else, by default
 * for 200 ms.
 */
const undeclared: RequestPlan = {
  ...buffered,
  pickOn: 'end_of_body',
  patience: { timeoutMs: 150, until: 'body_begins', heldBytes: Number.POSITIVE_INFINITY },
};

export function requestPlan(config: ProtocolConfig | undefined): RequestPlan {
  if (config === undefined) return undeclared;
  switch (config.requestBodyMode) {
    case 'FULL_DUPLEX_STREAMED':
    case 'GRPC':
      return fullDuplex;
    case 'BUFFERED':
      return buffered;
    case 'BUFFERED_PARTIAL':
      return bufferedPartial;
    case 'STREAMED':
      return config.sendsBodyWithoutWaiting ? streamedWithoutWaiting : headersOnly;
    case 'NONE':
      return headersOnly;
  }
}
