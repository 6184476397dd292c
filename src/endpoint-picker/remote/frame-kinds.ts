/**
 * What crosses between a door's process and the picker's. A ticket is a small number that the door gives to each
 * request; it is free again after `refused`, or after the `finish` that follows `placed`.
 *
 *   door                                picker
 *     │ ── pick ────────────────────────▶ │
 *     │ ◀─ waiting, if it has to ──────── │
 *     │ ── giveUp, if it is not wanted ─▶ │  answered by `refused`, or crossed by `placed`
 *     │ ◀─ refused, or: ───────────────── │
 *     │ ◀─ endpoint, where not yet told ─ │
 *     │ ◀─ placed ─────────────────────── │
 *     │ ── servedBy, firstToken, piece ─▶ │
 *     │ ── finish ──────────────────────▶ │
 */
export const FrameKind = {
  pick: 1,
  giveUp: 2,
  servedBy: 3,
  firstToken: 4,
  piece: 5,
  finish: 6,

  placed: 16,
  refused: 17,
  waiting: 18,
  endpoint: 19,
} as const;

/** Requests that a door may have open: a door that asks for ever more must not fill the picker's memory. */
export const mostOpenRequests = 1 << 17;

/** Of one frame to the picker: as much as the headers, subset and hashes of one request may take. */
export const maxRequestFrameBytes = 16 << 20;

/** Of one frame from the picker, whom its doors trust. */
export const maxReplyFrameBytes = 256 << 20;
