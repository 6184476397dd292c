import type { Headers } from './messages.ts';
import { spoofedHeaders } from './mutation.ts';
import type { Outbox } from './outbox.ts';
import type { RequestGathering } from './request-gathering.ts';
import type { RequestPlan } from './request-plan.ts';
import { sendBody } from './send-body.ts';

const noBytes = new Uint8Array(0);

/** Answers the body messages of a request, which are owed one reply each or the bytes themselves. */
export class RequestAnswers {
  readonly #outbox: Outbox;
  /** Body messages that are still owed a reply. */
  owed = 0;
  #trailersOwed: Headers | undefined;
  /** Sent with the first reply in place of all that has come, nothing with the others. */
  #replacement: Uint8Array | undefined;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  /** The body with another model in it takes the place of what was gathered. */
  replace(body: readonly Uint8Array[], gathering: RequestGathering, plan: RequestPlan): void {
    if (plan.bodyReplies === 'echo') gathering.chunks = [...body];
    else this.#replacement = Buffer.concat(body);
  }

  /** The bytes to send with the next reply, if they differ from what came. */
  takeReplacement(): { readonly replaced?: Uint8Array } {
    if (this.#replacement === undefined) return {};
    const replaced = this.#replacement;
    this.#replacement = noBytes;
    return { replaced };
  }

  answer(gathering: RequestGathering, plan: RequestPlan): void {
    const chunks = gathering.takeChunks();
    if (plan.bodyReplies === 'echo') {
      if (this.owed > 0) sendBody(this.#outbox, 'request', chunks, gathering.end === 'end_of_stream');
    } else {
      for (let i = 0; i < this.owed; i++) {
        this.#outbox.send({ kind: 'body', direction: 'request', ...this.takeReplacement() });
      }
    }
    this.owed = 0;
  }

  oweTrailers(trailers: Headers): void {
    this.#trailersOwed = trailers;
  }

  /** What a client may not send as a header does not reach an engine as a trailer. */
  answerTrailers(): void {
    if (this.#trailersOwed === undefined) return;
    const remove = spoofedHeaders(this.#trailersOwed);
    this.#trailersOwed = undefined;
    const mutation = remove.length === 0 ? {} : { mutation: { set: [], remove } };
    this.#outbox.send({ kind: 'trailers', direction: 'request', ...mutation });
  }
}
