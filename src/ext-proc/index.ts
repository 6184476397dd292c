/**
 * The Endpoint Picker Protocol: Envoy's external processing over gRPC, and gRPC health.
 *
 *   server (grpc-js) ─ codec ─▶ stream ─▶ endpoint-picker
 *                    ◀─ codec ─   │
 *                                 ├─ request-plan   when to pick, how to answer, by body mode
 *                                 ├─ request-gathering   headers and body until the pick
 *                                 ├─ mutation   the pick as headers and metadata
 *                                 ├─ request-answers, response-answers   replies, with models rewritten and restored
 *                                 └─ response-phase   first token, usage, outcome
 *
 * `workers/` serves the streams in processes of their own, with the picker at the other end of a link.
 *
 * State owned: one `ExtProcStream` per HTTP request, which holds its assignment until it finishes.
 * Imports: endpoint-picker, protocol, telemetry, and types of scheduling.
 */
export { CertificateError } from './certificate-files.ts';
export { type HealthOptions, serveHealth } from './health.ts';
export { type ExtProcOptions, serveExtProc } from './server.ts';
export type { TlsOptions } from './server-credentials.ts';
export { serveExtProcByWorkers, type WorkerDoorOptions } from './workers/worker-door.ts';
