import type { Usage } from '../../protocol/response-observer.ts';
import type { Outcome } from '../assignment.ts';
import type { FrameReader } from './frame-reader.ts';
import { type FrameWriter, maxTextBytes } from './frame-writer.ts';

/** The place of a kind here is its number on the wire. */
const kinds = [
  'completed',
  'rejected_by_engine',
  'client_aborted',
  'cut_at_shutdown',
  'connect_failed',
  'upstream_failed',
  'worker_lost',
] as const satisfies readonly Outcome['kind'][];

const counts = ['promptTokens', 'completionTokens', 'cachedTokens'] as const;
const hasUsage = 1 << counts.length;

/** Reasons are for people: what is beyond this is cut. */
const longestReason = 1024;

export const maxOutcomeBytes = 64 + maxTextBytes(' '.repeat(longestReason));

export function writeOutcome(writer: FrameWriter, outcome: Outcome): void {
  writer.uint8(kinds.indexOf(outcome.kind));
  switch (outcome.kind) {
    case 'completed':
      writer.uint16(outcome.status);
      writeUsage(writer, outcome.usage);
      return;
    case 'rejected_by_engine':
      writer.uint16(outcome.status);
      return;
    case 'connect_failed':
    case 'upstream_failed':
      writer.text(outcome.reason.slice(0, longestReason));
      return;
    case 'client_aborted':
    case 'cut_at_shutdown':
    case 'worker_lost':
      return;
  }
}

/** Throws a `RangeError` for a kind that there is not. */
export function readOutcome(reader: FrameReader): Outcome {
  const number = reader.uint8();
  const kind = kinds[number];
  switch (kind) {
    case 'completed':
      return { kind, status: reader.uint16(), usage: readUsage(reader) };
    case 'rejected_by_engine':
      return { kind, status: reader.uint16() };
    case 'connect_failed':
    case 'upstream_failed':
      return { kind, reason: reader.text() };
    case 'client_aborted':
    case 'cut_at_shutdown':
    case 'worker_lost':
      return { kind };
    default:
      throw new RangeError(`Expected an outcome from 0 to ${kinds.length - 1}, found ${number}.`);
  }
}

function writeUsage(writer: FrameWriter, usage: Usage | undefined): void {
  let flags = usage === undefined ? 0 : hasUsage;
  counts.forEach((name, bit) => {
    if (usage?.[name] !== undefined) flags |= 1 << bit;
  });
  writer.uint8(flags);
  for (const name of counts) {
    const count = usage?.[name];
    if (count !== undefined) writer.float64(count);
  }
}

function readUsage(reader: FrameReader): Usage | undefined {
  const flags = reader.uint8();
  if (!(flags & hasUsage)) return undefined;
  return {
    promptTokens: flags & 1 ? reader.finite() : undefined,
    completionTokens: flags & 2 ? reader.finite() : undefined,
    cachedTokens: flags & 4 ? reader.finite() : undefined,
  };
}
