/**
 * A conformance suite for any endpoint picker: plays each data plane against it, well-behaved and broken, and
 * judges the answers by the clauses of the Endpoint Picker Protocol and by what the data planes do with them.
 *
 *   cases/*  ─ session ─ exchange ─ client/ (HTTP/2, gRPC) ─▶ the picker
 *      │         └ echo-backends: the endpoints of its pool
 *      └─▶ run-suite ─▶ report
 *
 * State owned: one connection that cases share, and the echo backends. Shares no codec with our own picker.
 * Imports: frames and the HPACK decoder of http2.
 */
export { type DialectFamily, dialectFamilies } from './dialects.ts';
export { defaultEndpoints, EchoBackends, hostAndPort } from './echo-backends.ts';
export { caseTable, failedByLevel, failureLines, jsonReport, resultTable, summaryLine } from './report.ts';
export { isFailedMust, type JudgedRow, runRows, selectRows } from './run-suite.ts';
export { Session, type SessionOptions } from './session.ts';
