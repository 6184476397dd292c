/**
 * Recorded decisions made again with another profile: which picks would differ, and why. Owns nothing. Imports
 * `endpoint-picker` (the form of the records) and `scheduling`.
 */
export { type ReadLine, RecordsError, readRecords } from './read-records.ts';
export type { RecordedDecision } from './record-schema.ts';
export { type Replayed, type ReplayOptions, replayDecision } from './replay.ts';
export { differenceJson, differenceText, ReplayReport } from './report.ts';
