import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { ProcessingRequest, ProcessingResponse } from '../../src/ext-proc/messages.ts';
import { decodeRequest } from '../../src/ext-proc/wire/decode-request.ts';
import { encodeResponse } from '../../src/ext-proc/wire/encode-response.ts';
import { endOfStreamBytes, maxBytesAround, PieceReader, writeAround } from '../../src/ext-proc/wire/piece.ts';
import { ProtoWriter } from '../../src/ext-proc/wire/proto-writer.ts';
import {
  defaultLimits,
  GrpcCall,
  type GrpcHandler,
  grpcPrefixBytes,
  Http2Server,
} from '../../src/http2/index.ts';

const maxMessageBytes = 64 << 20;
const pieceBytes = 62_000;
const destination = '10.0.0.1:8000';
const writer = new ProtoWriter(8);
const piece = new PieceReader();
const around = new Uint8Array(grpcPrefixBytes + maxBytesAround);

/**
 * What HTTP/2, gRPC framing and the codec cost without the product: the same replies with a constant for the
 * pick, and no request read. The limit that the product is measured against.
 */
export async function serveFraming(): Promise<{ readonly port: number }> {
  const { server } = new Http2Server({
    tls: undefined,
    limits: defaultLimits,
    clock: () => performance.now(),
    onViolation: () => {},
    onRequest: (stream) => {
      const call = new GrpcCall(stream, maxMessageBytes);
      call.handle(new Echo(call));
      return call;
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port };
}

class Echo implements GrpcHandler {
  readonly #call: GrpcCall;
  #chunks: Uint8Array[] = [];

  constructor(call: GrpcCall) {
    this.#call = call;
  }

  onMessage(bytes: Buffer, start: number, end: number): void {
    if (piece.read(bytes, start, end)) {
      this.#sendPiece(bytes, piece.start, piece.end, piece.endOfStream);
      return;
    }
    const message = decodeRequest(bytes, start, end);
    if (message === undefined) return;
    const { kind, direction } = message;
    if (kind === 'body') this.#onBody(message);
    else if (direction === 'response') this.#send({ kind, direction });
  }

  onEnd(): void {
    this.#call.end();
  }

  onCancel(): void {}

  onDrain(): void {}

  #onBody({ direction, body, endOfStream }: ProcessingRequest & { readonly kind: 'body' }): void {
    if (direction === 'response') {
      this.#send({ kind: 'body', direction, streamed: { body, endOfStream } });
      return;
    }
    this.#chunks.push(body);
    if (!endOfStream) return;
    this.#send({
      kind: 'headers',
      direction,
      mutation: { set: [['x-gateway-destination-endpoint', destination]], remove: [] },
      metadata: { 'envoy.lb': { 'x-gateway-destination-endpoint': destination } },
    });
    const last = this.#chunks.length - 1;
    for (const [at, chunk] of this.#chunks.entries()) {
      for (let from = 0; from < chunk.length; from += pieceBytes) {
        const isEnd = at === last && from + pieceBytes >= chunk.length;
        this.#send({
          kind: 'body',
          direction,
          streamed: { body: chunk.subarray(from, from + pieceBytes), endOfStream: isEnd },
        });
      }
    }
    this.#chunks = [];
  }

  #sendPiece(bytes: Buffer, start: number, end: number, endOfStream: boolean): void {
    const headEnd = writeAround(around, grpcPrefixBytes, 'response', end - start, endOfStream);
    const aroundEnd = endOfStream ? headEnd + endOfStreamBytes : headEnd;
    this.#call.sendAround(around, headEnd, aroundEnd, bytes, start, end);
  }

  #send(response: ProcessingResponse): void {
    encodeResponse(writer, response);
    this.#call.send(writer.bytes, writer.start, writer.end);
  }
}
