import { randomUUID } from 'node:crypto';
import { type ChannelOptions, Server, type ServerDuplexStream } from '@grpc/grpc-js';
import type { EndpointPicker } from '../endpoint-picker/assignment.ts';
import { parseInferenceRequest } from '../endpoint-picker/inference-request.ts';
import { observeResponse } from '../protocol/observe-response.ts';
import type { RunningServer } from '../protocol/running-server.ts';
import type { Log } from '../telemetry/index.ts';
import { fromWire, toWire, type WireRequest } from './codec.ts';
import { healthService } from './health.ts';
import { listen } from './listen.ts';
import { serverCredentials, type TlsOptions } from './server-credentials.ts';
import { loadServiceDefinitions } from './service-definitions.ts';
import { ExtProcStream, type StreamCollaborators } from './stream.ts';

export interface ExtProcOptions {
  readonly host: string;
  readonly port: number;
  readonly picker: EndpointPicker;
  readonly log: Log;
  readonly tls: TlsOptions;
  readonly limits: {
    readonly maxBodyBytes: number;
    readonly blockTokens: number;
    readonly maxPrefixTokens: number;
  };
  /** Priority by the name of an inference objective, asked per request so that a reload takes effect. */
  readonly objectives?: () => ReadonlyMap<string, number>;
  /** What health on this port answers; streams are served either way. */
  readonly isServing: () => boolean;
  /** Endpoints to name after the first, for data planes that read a comma list. 0 by default. */
  readonly fallbacks?: number;
}

/** Channelz stays on: without it grpc-js 1.14 forgets its sessions, and `forceShutdown` cuts nothing. */
const channelOptions: ChannelOptions = {
  // BUFFERED sends a whole body in one message; the body cap bounds it.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

/** Envoy's external processing, and health beside it, on one port. */
export async function serveExtProc(options: ExtProcOptions): Promise<RunningServer> {
  const { host, port, isServing } = options;
  const definitions = loadServiceDefinitions();
  const collaborators = streamCollaborators(options);
  const server = new Server(channelOptions);
  server.addService(definitions.externalProcessor, {
    Process: (call: ServerDuplexStream<WireRequest, object>) => serveStream(call, collaborators),
  });
  server.addService(definitions.health, healthService({ isReady: isServing, isAlive: () => true }));
  return listen(server, { host, port, credentials: await serverCredentials(options.tls) });
}

const noObjectives: ReadonlyMap<string, number> = new Map();

function streamCollaborators(options: ExtProcOptions): StreamCollaborators {
  const { picker, log, limits, fallbacks = 0, objectives = () => noObjectives } = options;
  return {
    picker,
    log,
    fallbacks,
    maxBodyBytes: limits.maxBodyBytes,
    parseRequest: (http) => parseInferenceRequest(http, { ...limits, objectives: objectives() }).request,
    observeResponse,
    newRequestId: randomUUID,
    startTimer: (task, delayMs) => {
      let afterReading: NodeJS.Immediate | undefined;
      const timer = setTimeout(() => {
        // A busy process may be late itself: what already waits in its sockets is read first.
        afterReading = setImmediate(task);
      }, delayMs);
      return () => {
        clearTimeout(timer);
        clearImmediate(afterReading);
      };
    },
  };
}

function serveStream(
  call: ServerDuplexStream<WireRequest, object>,
  collaborators: StreamCollaborators,
): void {
  const stream = new ExtProcStream(collaborators, {
    send: (response) => call.write(toWire(response)),
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
