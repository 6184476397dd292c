import { bufferView } from '../protocol/buffer-view.ts';
import { decisionHeader, servedByHeader } from '../protocol/headers.ts';
import { type ModelNames, type ModelRestorer, restoreModel } from '../protocol/model-restorer.ts';
import type { BodyMode, HeaderMutation, Headers, ProcessingRequest } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { maxPieceBytes, sendBody } from './send-body.ts';

export interface ResponseAnswersOptions {
  readonly outbox: Outbox;
  /** Undefined = not declared: then bodies are answered without a word. */
  readonly mode: BodyMode | undefined;
  readonly modelNames: ModelNames | undefined;
  /** Headers that tell the decision, if the client asked for it. */
  readonly explanation: () => readonly (readonly [name: string, value: string])[];
}

const noBytes = new Uint8Array(0);
const ours = [decisionHeader, servedByHeader];
const plainHeaders = { kind: 'headers', direction: 'response' } as const;

/** Answers the messages of a response, each at once; only the name of a rewritten model is changed back. */
export class ResponseAnswers {
  readonly #options: ResponseAnswersOptions;
  #restorer: ModelRestorer | undefined;
  #hasEnded = false;

  constructor(options: ResponseAnswersOptions) {
    this.#options = options;
  }

  answer(message: ProcessingRequest): void {
    if (message.kind === 'headers') this.#answerHeaders(message.headers);
    else if (message.kind === 'body')
      this.answerPiece(bufferView(message.body), 0, message.body.length, message.endOfStream);
    else this.#answerTrailers();
    this.#hasEnded ||= message.kind === 'trailers' || message.endOfStream;
  }

  /** Answers a body message, `bytes[start, end)`. */
  answerPiece(bytes: Buffer, start: number, end: number, endOfStream: boolean): void {
    const { mode } = this.#options;
    if (mode === 'FULL_DUPLEX_STREAMED' || mode === 'GRPC') {
      if (!this.#hasEnded) this.#echo(bytes, start, end, endOfStream);
    } else this.#answerOne(bytes.subarray(start, end), endOfStream);
    this.#hasEnded ||= endOfStream;
  }

  #answerHeaders(headers: Headers): void {
    const { outbox, modelNames, explanation } = this.#options;
    this.#restorer = restoreModel(modelNames, headers.get('content-type'), headers.get('content-encoding'));
    const set = explanation();
    // Ours to tell, whatever an engine says.
    const remove = ours.filter((name) => headers.has(name) && !set.some(([known]) => known === name));
    if (set.length === 0 && remove.length === 0) outbox.send(plainHeaders);
    else outbox.send({ kind: 'headers', direction: 'response', mutation: { set, remove } });
  }

  #echo(bytes: Buffer, start: number, end: number, endOfStream: boolean): void {
    const { outbox } = this.#options;
    if (this.#restorer !== undefined)
      this.#sendRestored(this.#restored(bytes.subarray(start, end), endOfStream), endOfStream);
    else if (end - start <= maxPieceBytes) outbox.sendPiece('response', bytes, start, end, endOfStream);
    else sendBody(outbox, 'response', [bytes.subarray(start, end)], endOfStream);
  }

  #sendRestored(bytes: Uint8Array, endOfStream: boolean): void {
    if (bytes.length === 0 && !endOfStream) return; // all of it is held
    sendBody(this.#options.outbox, 'response', [bytes], endOfStream);
  }

  /** In modes where each message is owed one reply. */
  #answerOne(body: Buffer, endOfStream: boolean): void {
    const { mode, outbox } = this.#options;
    // The rest of a body that is cut does not come here.
    const isLast = endOfStream || mode === 'BUFFERED' || mode === 'BUFFERED_PARTIAL';
    const restored = mode === undefined ? body : this.#restored(body, isLast);
    if (restored === body) outbox.send({ kind: 'body', direction: 'response' });
    else {
      outbox.send({
        kind: 'body',
        direction: 'response',
        replaced: restored,
        ...(mode === 'BUFFERED' ? { mutation: lengthOf(restored) } : {}),
      });
    }
  }

  #answerTrailers(): void {
    const { mode, outbox } = this.#options;
    const held = this.#restorer?.end() ?? noBytes;
    // In other modes there is no message left to carry it; a response that ends within a name is broken anyway.
    if (held.length > 0 && mode === 'FULL_DUPLEX_STREAMED') this.#sendRestored(held, false);
    outbox.send({ kind: 'trailers', direction: 'response' });
  }

  #restored(body: Buffer, isLast: boolean): Uint8Array {
    if (this.#restorer === undefined) return body;
    const restored = this.#restorer.push(body);
    const held = isLast ? this.#restorer.end() : noBytes;
    return held.length > 0 ? Buffer.concat([restored, held]) : restored;
  }
}

function lengthOf(body: Uint8Array): HeaderMutation {
  return { set: [['content-length', String(body.length)]], remove: [] };
}
