import { performance } from 'node:perf_hooks';
import type { RequestPlacer } from '../endpoint-picker/assignment.ts';
import { parseOrReadHeaders, type RequestRules } from '../endpoint-picker/inference-request.ts';
import { observeResponse } from '../protocol/observe-response.ts';
import type { RunningServer } from '../protocol/running-server.ts';
import type { Log } from '../telemetry/index.ts';
import { createFastTransport } from './fast-transport.ts';
import { createGrpcJsTransport } from './grpc-js-transport.ts';
import { runningServer } from './listen.ts';
import type { StreamObserver } from './phase-timer.ts';
import { requestIds } from './request-ids.ts';
import type { TlsOptions } from './server-credentials.ts';
import type { StreamCollaborators } from './stream-collaborators.ts';
import type { Transport } from './transport.ts';

export interface ExtProcOptions extends ServingOptions {
  readonly host: string;
  readonly port: number;
}

/** How streams are served, wherever their connections come from. */
export interface ServingOptions {
  readonly picker: RequestPlacer;
  readonly log: Log;
  readonly tls: TlsOptions;
  readonly limits: {
    readonly maxBodyBytes: number;
    readonly blockTokens: number;
    readonly maxPrefixTokens: number;
  };
  /** Objectives, rewrites and tenants. Asked per request, so that a reload takes effect. */
  readonly rules?: () => RequestRules;
  /** Answers requests with `x-pointsman-explain: true` with the decision. False by default. */
  readonly explains?: boolean;
  /** Tells the scores of all candidates in the metadata of each pick. False by default. */
  readonly tellsScores?: boolean;
  /** What health on this port answers; streams are served either way. */
  readonly isServing: () => boolean;
  /** Endpoints to name after the first, for data planes that read a comma list. 0 by default. */
  readonly fallbacks?: number;
  /** Told of every stream and its parts. */
  readonly streams?: StreamObserver;
  /** Our own HTTP/2 (the default), or the reference library; the streams are the same. */
  readonly transport?: 'fast' | 'grpc-js';
}

/** Envoy's external processing, and health beside it, on one port. */
export async function serveExtProc(options: ExtProcOptions): Promise<RunningServer> {
  const { host } = options;
  const transport = await createTransport(options);
  const port = await transport.listen(host, options.port);
  return runningServer(host, port, (deadlineMs) => transport.close(deadlineMs));
}

/** External processing and health, for connections yet to come. */
export function createTransport(options: ServingOptions): Promise<Transport> {
  const { log, tls, isServing, transport = 'fast' } = options;
  let isCutting = false;
  const collaborators = streamCollaborators(options, () => isCutting);
  const beforeCut = () => {
    isCutting = true;
  };
  const claims = { isReady: isServing, isAlive: () => true };
  const create = transport === 'fast' ? createFastTransport : createGrpcJsTransport;
  return create({ log, tls, collaborators, claims, beforeCut });
}

function streamCollaborators(options: ServingOptions, isCutting: () => boolean): StreamCollaborators {
  const { picker, log, fallbacks = 0, streams } = options;
  const { limits } = options;
  const parsing = parsingOptions(options);
  return {
    picker,
    log,
    fallbacks,
    maxBodyBytes: limits.maxBodyBytes,
    parseRequest: (http) => parseOrReadHeaders(http, parsing()),
    observeResponse,
    newRequestId: requestIds(),
    phases: streams && {
      clock: () => performance.now(),
      observer: streams,
      timesResponse: everyEighth(),
    },
    isCutting,
    explains: options.explains ?? false,
    tellsScores: options.tellsScores ?? false,
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

/**
 * Made anew only when the rules change: joining what came from JSON takes V8's slow way, and what it makes dies old,
 * 1 kB for each request.
 */
function parsingOptions({ limits, rules }: ServingOptions): () => ServingOptions['limits'] & RequestRules {
  let known: RequestRules | undefined;
  let joined: ServingOptions['limits'] & RequestRules = { ...limits };
  return () => {
    const current = rules?.();
    if (current !== known) {
      known = current;
      joined = { ...limits, ...current };
    }
    return joined;
  };
}

/** True for the first of eight calls. */
function everyEighth(): () => boolean {
  let calls = 0;
  return () => (calls++ & 7) === 0;
}
