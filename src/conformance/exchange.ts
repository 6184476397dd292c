import type { Call, CallEnd, ReplyEvent } from './client/call.ts';
import { describeEnd } from './client/call.ts';
import type { Dialect } from './dialects.ts';
import type { HttpRequest, HttpResponse } from './http-shapes.ts';
import { Unmet } from './outcome.ts';
import { isFullDuplex, type Violation, violationsIn } from './violations.ts';
import {
  bodyMessage,
  type Direction,
  type Envelope,
  type Headers,
  headersMessage,
  type Metadata,
  trailersMessage,
} from './wire/processing-request.ts';
import type { ImmediateReply, Reply } from './wire/processing-response.ts';

const noBytes = new Uint8Array(0);
const servedKey = 'x-gateway-destination-endpoint-served';

/** What an exchange has stopped for when it was not complete. */
export type Stop =
  | { readonly kind: 'immediate'; readonly reply: ImmediateReply }
  | { readonly kind: 'end'; readonly end: CallEnd }
  | { readonly kind: 'silence' };

/**
 * One HTTP request as a data plane of `dialect` takes it through external processing. Sends and waits as that
 * data plane does, and keeps all replies.
 */
export class Exchange {
  readonly call: Call;
  readonly dialect: Dialect;
  readonly replies: Reply[] = [];
  stop: Stop | undefined;
  /** What was waited for in vain, first of all; undefined if everything came. */
  missed: string | undefined;
  readonly #timeoutMs: number;
  readonly #sent = { request: [] as Uint8Array[], response: [] as Uint8Array[] };

  constructor(call: Call, dialect: Dialect, timeoutMs: number) {
    this.call = call;
    this.dialect = dialect;
    this.#timeoutMs = timeoutMs;
  }

  /** The first message alone. */
  sendRequestHeaders(request: HttpRequest, envelope: Envelope = {}): void {
    this.call.send(firstMessage(this.dialect, request, envelope));
  }

  /** The request phase, to its end or to whatever stops it. */
  async request(request: HttpRequest, envelope: Envelope = {}): Promise<this> {
    const { requestBody } = this.dialect;
    if (requestBody === 'duplex') {
      this.sendAtOnce(request, envelope);
      return this.answersToRequest(request);
    }
    this.sendRequestHeaders(request, envelope);
    await this.#until('the reply to the request headers', () => this.headersReply('request') !== undefined);
    if (requestBody === 'none' || request.chunks === undefined || this.stop !== undefined) return this;
    this.#sendBody('request', this.#pieces(request.chunks, 'request'), trailersOf(request));
    await this.#untilAnswered('request', request.hasTrailers);
    return this;
  }

  /**
   * All messages of the request without waiting, as in full duplex. `send` may put them on the wire in its own
   * way.
   */
  sendAtOnce(
    request: HttpRequest,
    envelope: Envelope = {},
    send = (messages: readonly Buffer[]) => {
      for (const message of messages) this.call.send(message);
    },
  ): void {
    const chunks = this.#pieces(request.chunks ?? [], 'request');
    const messages = this.#bodyMessages('request', chunks, trailersOf(request));
    send([firstMessage(this.dialect, request, envelope), ...messages]);
    if (this.dialect.modes === undefined) this.call.halfClose();
  }

  /** Waits for what `sendAtOnce` asked for. */
  async answersToRequest(request: HttpRequest): Promise<this> {
    if (this.dialect.modes === undefined) {
      await this.#until('the end of the stream', () => false);
      return this;
    }
    await this.#until('the reply to the request headers', () => this.headersReply('request') !== undefined);
    if (request.chunks !== undefined) await this.#untilAnswered('request', request.hasTrailers);
    return this;
  }

  /** The response phase. Does nothing when the request did not get through. */
  async response(response: HttpResponse): Promise<this> {
    if (this.stop !== undefined || !this.dialect.showsResponses) return this;
    const { status, headers, chunks, hasTrailers, isPaced, served } = response;
    this.call.send(
      headersMessage(
        'response',
        { ':status': String(status), ...headers },
        {
          spelling: this.dialect.spelling,
          endOfStream: chunks.length === 0 && !hasTrailers,
          metadata: this.dialect.reportsServed ? servedMetadata(served) : undefined,
        },
      ),
    );
    await this.#until('the reply to the response headers', () => this.headersReply('response') !== undefined);
    const isOver = chunks.length === 0 && !hasTrailers;
    if (this.stop !== undefined || this.dialect.modes?.response === 'NONE' || isOver) return this;
    const pieces = this.#pieces(chunks, 'response');
    if (!isPaced) {
      this.#sendBody('response', pieces, hasTrailers ? {} : undefined);
    } else {
      for (const [index, piece] of pieces.entries()) {
        const isLast = index === pieces.length - 1;
        this.#sendChunk('response', piece, isLast && !hasTrailers && !this.dialect.endsWithEmptyChunk);
        await this.#until(`piece ${index + 1} of the response, at once`, () => this.#isAnswered('response'));
        if (this.stop !== undefined) return this;
      }
      if (hasTrailers) this.call.send(trailersMessage('response'));
      else if (this.dialect.endsWithEmptyChunk) this.#sendChunk('response', noBytes, true);
    }
    await this.#untilAnswered('response', hasTrailers);
    return this;
  }

  /** Half-closes and reads to the end, as data planes do when they are done. */
  async finish(): Promise<this> {
    this.call.halfClose();
    if (this.#isStalled()) this.stop = undefined;
    await this.#until('the end of the stream after the half-close', () => false);
    // Streams that never end would use up what a connection may have open.
    if (this.#isStalled()) this.call.reset();
    return this;
  }

  cancel(): this {
    this.call.reset();
    return this;
  }

  headersReply(direction: Direction) {
    for (const reply of this.replies) {
      if (reply.kind === 'headers' && reply.direction === direction) return reply;
    }
    return undefined;
  }

  bodyReplies(direction: Direction) {
    return this.replies.flatMap((reply) =>
      reply.kind === 'body' && reply.direction === direction ? [reply] : [],
    );
  }

  trailersReply(direction: Direction) {
    for (const reply of this.replies) {
      if (reply.kind === 'trailers' && reply.direction === direction) return reply;
    }
    return undefined;
  }

  hasTrailersReply(direction: Direction): boolean {
    return this.trailersReply(direction) !== undefined;
  }

  get immediate(): ImmediateReply | undefined {
    return this.stop?.kind === 'immediate' ? this.stop.reply : undefined;
  }

  get violations(): readonly Violation[] {
    const { request, response } = this.#sent;
    return violationsIn(this.dialect, this.replies, {
      bodyMessages: request.length,
      responseBodyMessages: response.length,
    });
  }

  /** The body as it goes on: to the endpoint, or to the client. */
  body(direction: Direction): Buffer {
    const replies = this.bodyReplies(direction);
    if (isFullDuplex(this.dialect, direction)) {
      return Buffer.concat(
        replies.map(({ body }) => (body.kind === 'streamed' ? body.bytes : Buffer.alloc(0))),
      );
    }
    return Buffer.concat(
      this.#sent[direction].map((original, index) => {
        const mutation = replies[index]?.body ?? { kind: 'none' };
        if (this.dialect.modes === undefined || mutation.kind === 'none') return original;
        return mutation.kind === 'clear' ? Buffer.alloc(0) : mutation.bytes;
      }),
    );
  }

  /** What came, in words, for a report. */
  describe(): string {
    const replies = this.replies.map((reply) =>
      reply.kind === 'immediate'
        ? `ImmediateResponse ${reply.status}`
        : 'direction' in reply
          ? `${reply.direction} ${reply.kind}`
          : reply.kind,
    );
    const counted = replies.length > 8 ? [...replies.slice(0, 8), `${replies.length - 8} more`] : replies;
    return (
      [...counted, ...(this.stop === undefined ? [] : [describeStop(this.stop)])].join(', ') || 'nothing'
    );
  }

  /** The headers were let through; else the case is failed with what stopped it. */
  requirePicked(): this {
    if (this.immediate === undefined && this.headersReply('request') !== undefined) return this;
    throw new Unmet('a pick', this.describe());
  }

  #pieces(chunks: readonly Uint8Array[], direction: Direction): readonly Uint8Array[] {
    const mode = this.dialect.modes?.[direction];
    const isWhole = mode === undefined || mode === 'BUFFERED' || mode === 'BUFFERED_PARTIAL';
    return isWhole && chunks.length > 1 ? [Buffer.concat(chunks)] : chunks;
  }

  #sendBody(direction: Direction, chunks: readonly Uint8Array[], trailers: Headers | undefined): void {
    for (const message of this.#bodyMessages(direction, chunks, trailers)) this.call.send(message);
  }

  #bodyMessages(
    direction: Direction,
    chunks: readonly Uint8Array[],
    trailers: Headers | undefined,
  ): Buffer[] {
    const { endsWithEmptyChunk } = this.dialect;
    const hasTrailers = trailers !== undefined;
    const all = endsWithEmptyChunk && chunks.length > 0 && !hasTrailers ? [...chunks, noBytes] : chunks;
    this.#sent[direction].push(...all);
    const messages = all.map((chunk, index) =>
      bodyMessage(direction, chunk, index === all.length - 1 && !hasTrailers),
    );
    return hasTrailers ? [...messages, trailersMessage(direction, trailers)] : messages;
  }

  #sendChunk(direction: Direction, chunk: Uint8Array, endOfStream: boolean): void {
    this.#sent[direction].push(chunk);
    this.call.send(bodyMessage(direction, chunk, endOfStream));
  }

  #isStalled(): boolean {
    return this.stop?.kind === 'silence';
  }

  async #untilAnswered(direction: Direction, hasTrailers: boolean): Promise<void> {
    await this.#until(`the end of the ${direction} body`, () => {
      if (hasTrailers) return this.hasTrailersReply(direction);
      if (!isFullDuplex(this.dialect, direction)) return this.#isAnswered(direction);
      return this.bodyReplies(direction).some(({ body }) => body.kind === 'streamed' && body.endOfStream);
    });
  }

  /** Full duplex: as many bytes came back as went out. Else: as many replies as messages. */
  #isAnswered(direction: Direction): boolean {
    const sent = this.#sent[direction];
    const replies = this.bodyReplies(direction);
    if (!isFullDuplex(this.dialect, direction)) return replies.length >= sent.length;
    const bytes = sent.reduce((sum, { length }) => sum + length, 0);
    return this.body(direction).length >= bytes && replies.length > 0;
  }

  async #until(what: string, isDone: () => boolean): Promise<void> {
    while (this.stop === undefined && !isDone())
      this.#onEvent(await this.call.nextReply(this.#timeoutMs), what);
  }

  #onEvent(event: ReplyEvent, what: string): void {
    if (event.kind === 'silence') {
      this.missed ??= what;
      this.stop = { kind: 'silence' };
    } else if (event.kind === 'end') {
      this.stop = event;
    } else {
      this.replies.push(event.reply);
      if (event.reply.kind === 'immediate') this.stop = { kind: 'immediate', reply: event.reply };
    }
  }
}

export function firstMessage(dialect: Dialect, request: HttpRequest, envelope: Envelope = {}): Buffer {
  const { method, path, headers, repeated, chunks, hasTrailers, subset, metadata } = request;
  const pseudo: Headers = dialect.sendsPseudoHeaders
    ? { ':method': method, ':path': path, ':authority': 'conformance.test', ':scheme': 'http' }
    : {};
  const hint: Metadata =
    subset === undefined
      ? {}
      : { 'envoy.lb.subset_hint': { 'x-gateway-destination-endpoint-subset': subset } };
  const all = { ...metadata, ...hint };
  return headersMessage(
    'request',
    { ...pseudo, ...headers },
    {
      spelling: dialect.spelling,
      endOfStream: chunks === undefined && !hasTrailers,
      moreLines: repeated,
      protocolConfig: dialect.modes,
      metadata: Object.keys(all).length === 0 ? undefined : all,
      ...envelope,
    },
  );
}

function trailersOf({ hasTrailers, trailers = {} }: HttpRequest): Headers | undefined {
  return hasTrailers ? trailers : undefined;
}

function describeStop(stop: Stop): readonly string[] {
  if (stop.kind === 'silence') return [];
  return [stop.kind === 'end' ? describeEnd(stop.end) : 'then no more'];
}

function servedMetadata(served: string | undefined): Metadata | undefined {
  return served === undefined ? undefined : { 'envoy.lb': { [servedKey]: served } };
}
