/**
 * What the process of the picker and a worker tell each other beside the link of requests, as messages between
 * parent and child. A connection is a `Connection` with its socket.
 */
import type { RuleSettings } from '../../endpoint-picker/rule-settings.ts';
import type { LogFormat, LogLevel, StreamTally } from '../../telemetry/index.ts';
import type { TlsOptions } from '../server-credentials.ts';

/** What a worker is started with and keeps. */
export interface WorkerSettings {
  readonly transport: 'fast' | 'grpc-js';
  readonly tls: TlsOptions;
  readonly limits: {
    readonly maxBodyBytes: number;
    readonly blockTokens: number;
    readonly maxPrefixTokens: number;
  };
  readonly fallbacks: number;
  readonly explains: boolean;
  readonly tellsScores: boolean;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  /** How long streams may take to finish when the picker's process is gone without a word. */
  readonly orphanDeadlineMs: number;
}

/** What changes while it runs. */
export interface WorkerState {
  readonly rules: RuleSettings;
  /** What health answers. */
  readonly isServing: boolean;
}

export type ToWorker =
  | { readonly kind: 'start'; readonly settings: WorkerSettings; readonly state: WorkerState }
  | { readonly kind: 'state'; readonly state: WorkerState }
  | { readonly kind: 'connection' }
  /** Finish what is open until the deadline, then end. */
  | { readonly kind: 'drain'; readonly deadlineMs: number };

export type FromWorker =
  | { readonly kind: 'ready' }
  /** It cannot start. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** Comes at least every second. */
  | {
      readonly kind: 'report';
      /** Connections that have closed since it began. */
      readonly closedConnections: number;
      readonly streams: StreamTally | undefined;
    };

/** Of the socket pair between picker and worker, in the worker. */
export const linkDescriptor = 4;

export const reportIntervalMs = 250;
