/** What went wrong on the way to an engine, in words for the log and as errors for the client. */
import { ServiceError } from '../protocol/errors.ts';

/** Short and without addresses, as it may reach the client: a code, or else the message. */
export function failureReason(error: Error): string {
  return codeOf(error) ?? error.message;
}

export function isTimeout(error: Error): boolean {
  const code = codeOf(error);
  return code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT';
}

/** Something answered, but not in HTTP that can be read. */
export function isInvalidAnswer(error: Error): boolean {
  const code = codeOf(error);
  return error.name === 'HTTPParserError' || code === 'UND_ERR_HEADERS_OVERFLOW';
}

/** The request could not even be written: no engine is to blame, and no other would do better. */
export function isOurFault(error: Error): boolean {
  const code = codeOf(error);
  return code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED';
}

export function unreachable(attempts: number, reason: string): ServiceError {
  const tried = attempts === 1 ? 'the only engine tried' : `any of the ${attempts} engines tried`;
  return new ServiceError('bad_upstream', `Could not connect to ${tried} (${reason}).`);
}

export function lostAnswer(reason: string): ServiceError {
  return new ServiceError(
    'upstream_reset',
    `The engine closed the connection before it had answered (${reason}).`,
  );
}

export function brokenAnswer(reason: string): ServiceError {
  return new ServiceError(
    'upstream_reset',
    `The engine broke off its answer (${reason}). What came before is incomplete.`,
  );
}

export function noAnswer(cause: Error): ServiceError {
  return new ServiceError('upstream_timeout', 'The engine was silent for too long.', { cause });
}

export function invalidAnswer(cause: unknown): ServiceError {
  return new ServiceError('bad_upstream', 'The engine answered with something that is not valid HTTP.', {
    cause,
  });
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
