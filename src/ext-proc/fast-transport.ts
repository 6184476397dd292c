import type { AddressInfo, Server } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { SecureContextOptions, Server as TlsServer } from 'node:tls';
import {
  type ConnectionError,
  defaultLimits,
  GrpcCall,
  type GrpcHandler,
  GrpcStatus,
  grpcPrefixBytes,
  Http2Server,
  isGrpc,
  refuseNonGrpc,
} from '../http2/index.ts';
import type { Log } from '../telemetry/index.ts';
import { fastHealth } from './fast-health.ts';
import { HealthWatches } from './health-status.ts';
import type { Direction, ProcessingResponse } from './messages.ts';
import type { Sink } from './outbox.ts';
import { ExtProcStream } from './stream.ts';
import type { StreamCollaborators } from './stream-collaborators.ts';
import { tlsContext } from './tls-context.ts';
import type { Transport, TransportOptions } from './transport.ts';
import { decodeRequest } from './wire/decode-request.ts';
import { encodeResponse } from './wire/encode-response.ts';
import { endOfStreamBytes, maxBytesAround, PieceReader, writeAround } from './wire/piece.ts';
import { ProtoWriter } from './wire/proto-writer.ts';

const processPath = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';
/** Protobuf and header bytes around the largest body. */
const messageOverheadBytes = 1 << 20;
/** One for all streams: a message is encoded and copied out within one call. */
const writer = new ProtoWriter(grpcPrefixBytes);
const piece = new PieceReader();
const around = new Uint8Array(grpcPrefixBytes + maxBytesAround);

interface FastTransportOptions {
  readonly collaborators: StreamCollaborators;
  readonly log: Log;
  readonly tls: SecureContextOptions | undefined;
  /** Serves a path that is not ext-proc; undefined if there is no such method. */
  readonly otherMethod: (path: string, call: GrpcCall) => GrpcHandler | undefined;
}

/** External processing on our own HTTP/2: the same streams as with grpc-js, at a fraction of its cost. */
export async function createFastTransport(options: TransportOptions): Promise<Transport> {
  const { log, collaborators, claims, beforeCut } = options;
  const tls = await tlsContext(options.tls, log);
  const watches = new HealthWatches();
  const otherMethod = fastHealth(claims, watches);
  const http2 = createHttp2({ collaborators, log, tls: tls?.first, otherMethod });
  const { server } = http2;
  const stopWatching = tls?.watch((context) => (server as TlsServer).setSecureContext(context));
  return {
    listen: (host, port) => listen(server, host, port),
    accept: (socket) => http2.accept(socket),
    close(deadlineMs) {
      stopWatching?.();
      const closed = http2.close(deadlineMs, beforeCut);
      watches.close();
      return closed;
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(new Error(`Cannot listen on ${host}:${port}.`, { cause })));
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

function createHttp2(options: FastTransportOptions): Http2Server {
  const { collaborators, log, tls, otherMethod } = options;
  const maxMessageBytes = collaborators.maxBodyBytes + messageOverheadBytes;
  return new Http2Server({
    tls,
    limits: defaultLimits,
    clock: () => performance.now(),
    onViolation: (error: ConnectionError, peer) =>
      log.debug({ err: error, peer }, 'HTTP/2 connection failed'),
    onRequest: (stream, head) => {
      if (!isGrpc(head)) {
        refuseNonGrpc(stream);
        return undefined;
      }
      const call = new GrpcCall(stream, maxMessageBytes);
      const handler =
        head.path === processPath ? new ServedCall(call, collaborators) : otherMethod(head.path, call);
      if (handler === undefined) {
        call.end(GrpcStatus.Unimplemented, `Expected ${processPath}, found ${head.path}.`);
        return undefined;
      }
      call.handle(handler);
      return call;
    },
  });
}

/**
 * The call that was served last. Optimized code is dropped by a full collection that finds no object of the classes it
 * was made for, as one in a pause between requests: then the next ones would be served by slow code.
 */
const kept: { call?: ServedCall } = {};

/** Between one call and its stream: decodes what comes, encodes what goes. */
class ServedCall implements GrpcHandler, Sink {
  readonly #call: GrpcCall;
  readonly #stream: ExtProcStream;

  constructor(call: GrpcCall, collaborators: StreamCollaborators) {
    this.#call = call;
    this.#stream = new ExtProcStream(collaborators, this);
    kept.call = this;
  }

  send(response: ProcessingResponse): boolean {
    encodeResponse(writer, response);
    return this.#call.send(writer.bytes, writer.start, writer.end);
  }

  sendPiece(
    direction: Direction,
    bytes: Uint8Array,
    start: number,
    end: number,
    endOfStream: boolean,
  ): boolean {
    const headEnd = writeAround(around, grpcPrefixBytes, direction, end - start, endOfStream);
    const aroundEnd = endOfStream ? headEnd + endOfStreamBytes : headEnd;
    return this.#call.sendAround(around, headEnd, aroundEnd, bytes, start, end);
  }

  end(): void {
    this.#call.end();
  }

  onMessage(bytes: Buffer, start: number, end: number): void {
    if (piece.read(bytes, start, end)) {
      this.#stream.onPiece(bytes, piece.start, piece.end, piece.endOfStream);
      if (this.#stream.isBlocked) this.#call.pause();
      return;
    }
    const message = decodeOrUndefined(bytes, start, end);
    if (message === 'malformed') {
      this.#call.end(GrpcStatus.Internal, 'Expected a ProcessingRequest, found bytes that are none.');
      this.#stream.onCancel();
      return;
    }
    if (message !== undefined) this.#stream.onMessage(message);
    if (this.#stream.isBlocked) this.#call.pause();
  }

  onEnd(): void {
    this.#stream.onHalfClose();
  }

  onCancel(): void {
    this.#stream.onCancel();
  }

  onDrain(): void {
    this.#stream.onDrain();
    if (!this.#stream.isBlocked) this.#call.resume();
  }
}

function decodeOrUndefined(bytes: Buffer, start: number, end: number) {
  try {
    return decodeRequest(bytes, start, end);
  } catch (error) {
    if (error instanceof RangeError) return 'malformed';
    throw error;
  }
}
