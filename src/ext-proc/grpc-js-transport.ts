import { type ChannelOptions, type ConnectionInjector, Server, type ServerDuplexStream } from '@grpc/grpc-js';
import { fromWire, toWire, type WireRequest } from './codec.ts';
import { healthService } from './health.ts';
import { HealthWatches } from './health-status.ts';
import { bind, stop } from './listen.ts';
import { pieceMessage } from './outbox.ts';
import { serverCredentials } from './server-credentials.ts';
import { loadServiceDefinitions } from './service-definitions.ts';
import { ExtProcStream } from './stream.ts';
import type { StreamCollaborators } from './stream-collaborators.ts';
import type { Transport, TransportOptions } from './transport.ts';

/** Channelz stays on: without it grpc-js 1.14 forgets its sessions, and `forceShutdown` cuts nothing. */
const channelOptions: ChannelOptions = {
  // BUFFERED sends a whole body in one message; the body cap bounds it.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

/** External processing on the reference library. */
export async function createGrpcJsTransport(options: TransportOptions): Promise<Transport> {
  const { tls, log, collaborators, claims, beforeCut } = options;
  const definitions = loadServiceDefinitions();
  const server = new Server(channelOptions);
  server.addService(definitions.externalProcessor, {
    Process: (call: ServerDuplexStream<WireRequest, object>) => serveStream(call, collaborators),
  });
  const watches = new HealthWatches();
  server.addService(definitions.health, healthService(claims, watches));
  const credentials = await serverCredentials(tls, log);
  let injector: ConnectionInjector | undefined;
  return {
    listen: (host, port) => bind(server, host, port, credentials),
    accept(socket) {
      injector ??= server.createConnectionInjector(credentials);
      injector.injectConnection(socket);
    },
    close(deadlineMs) {
      const closed = stop(server, deadlineMs, beforeCut);
      watches.close();
      return closed;
    },
  };
}

function serveStream(
  call: ServerDuplexStream<WireRequest, object>,
  collaborators: StreamCollaborators,
): void {
  const stream = new ExtProcStream(collaborators, {
    send: (response) => call.write(toWire(response)),
    sendPiece: (direction, bytes, start, end, endOfStream) =>
      call.write(toWire(pieceMessage(direction, bytes.subarray(start, end), endOfStream))),
    end: () => call.end(),
  });
  call.on('data', (wire: WireRequest) => {
    const message = fromWire(wire);
    if (message !== undefined) stream.onMessage(message);
    if (stream.isBlocked) call.pause();
  });
  call.on('drain', () => {
    stream.onDrain();
    if (!stream.isBlocked) call.resume();
  });
  call.on('end', () => stream.onHalfClose());
  // Comes after every stream, also after a good end.
  call.on('cancelled', () => stream.onCancel());
  call.on('error', (error: Error) => {
    collaborators.log.debug({ err: error }, 'ext-proc stream failed');
    stream.onCancel();
  });
}
