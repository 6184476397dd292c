import type { EndpointPicker } from '../endpoint-picker/assignment.ts';
import type { RequestRules } from '../endpoint-picker/inference-request.ts';
import type { Log } from '../telemetry/log.ts';

export interface GatewayLimits {
  /** Longer request bodies are answered with 413. Default 32 MiB. */
  readonly maxBodyBytes: number;
  /** Prompt tokens that are hashed to find a cached prefix. */
  readonly maxPrefixTokens: number;
  readonly blockTokens: number;
  /** Requests in progress, above which new ones are answered with 429. Default 10 000. */
  readonly maxConcurrentRequests: number;
}

export interface GatewayTimeouts {
  /** To connect to an engine; then the next endpoint is tried. Default 2000. */
  readonly connectMs: number;
  /** From the end of the request to the engine's first byte. Default 600 000. */
  readonly firstByteMs: number;
  /** Silence within a response, and a client that takes nothing of it. Default 300 000. */
  readonly idleMs: number;
}

export interface GatewayOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly picker: EndpointPicker;
  readonly log: Log;
  readonly limits: Partial<GatewayLimits> & Pick<GatewayLimits, 'maxPrefixTokens' | 'blockTokens'>;
  readonly timeouts?: Partial<GatewayTimeouts>;
  /** Bearer keys; one of them is asked for everywhere but on the probes. None = open to everyone. */
  readonly apiKeys?: readonly string[];
  /** Objectives, rewrites and tenants. Asked per request, so that a reload takes effect. */
  readonly rules?: () => RequestRules;
  /** Answers requests with `x-pointsman-explain: true` with the decision. True by default. */
  readonly explains?: boolean;
  /** Told the code of each request that was refused before the picker was asked. */
  readonly onRefused?: (code: string) => void;
  readonly metricsText?: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** True from the moment that the process wants to stop: not ready, and connections are not kept. */
  readonly isDraining?: () => boolean;
}

export const defaultLimits = { maxBodyBytes: 32 * 1024 * 1024, maxConcurrentRequests: 10_000 } as const;

export const defaultTimeouts: GatewayTimeouts = { connectMs: 2000, firstByteMs: 600_000, idleMs: 300_000 };
