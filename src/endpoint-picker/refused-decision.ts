import type { ServiceError } from '../protocol/errors.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';

/** Carries the record of a decision that found no endpoint to the observer. */
export class RefusedDecision {
  readonly error: ServiceError;
  readonly record: SchedulingResult;

  constructor(error: ServiceError, record: SchedulingResult) {
    this.error = error;
    this.record = record;
  }
}
