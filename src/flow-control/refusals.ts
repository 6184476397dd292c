import { ServiceError } from '../protocol/errors.ts';

const longestRetrySeconds = 60;

export function noEndpoints(waitedMs: number): ServiceError {
  return new ServiceError('no_endpoints', `The request waited ${waitedMs} ms, and no engine is ready.`);
}

export function shuttingDown(): ServiceError {
  return new ServiceError('shutting_down', 'The gateway is shutting down.');
}

export function clientClosed(): ServiceError {
  return new ServiceError('client_closed', 'The client has closed the request.');
}

/** The wait would break the target for the first token. */
export function tooLateForTarget(waitMs: number, ttftSloMs: number): ServiceError {
  const message = `The request would wait about ${Math.round(waitMs)} ms for an engine, and its target for the first token is ${ttftSloMs} ms.`;
  return new ServiceError('overloaded', message, { retryAfterSeconds: secondsOf(waitMs - ttftSloMs) });
}

/** `waitMs`: what one that came now would have to expect. */
export function lineFull(waitingRequests: number, waitMs: number): ServiceError {
  const message = `All engines are busy and ${waitingRequests} requests wait; the line is full.`;
  return new ServiceError('overloaded', message, { retryAfterSeconds: secondsOf(waitMs) });
}

/** `waitMs`: what one that came now would have to expect. */
export function timedOut(waitedMs: number, waitMs: number): ServiceError {
  const message = `No engine had room for the request within ${waitedMs} ms.`;
  return new ServiceError('queue_timeout', message, { retryAfterSeconds: secondsOf(waitMs) });
}

function secondsOf(waitMs: number): number {
  return Math.min(longestRetrySeconds, Math.max(1, Math.ceil(waitMs / 1000)));
}
