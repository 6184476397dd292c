/**
 * Requests that wait: late binding, priority bands, fairness between tenants, limits and deadlines.
 *
 * Owns the waiting line and its one timer. Knows endpoints only through the decision that each request brings
 * along, so it imports `protocol` (the error catalogue) alone.
 */
export type {
  AdmissionListener,
  AdmissionRequest,
  FlowControlLimits,
  FlowControlOptions,
  Offer,
  Round,
} from './flow-control.ts';
export { defaultLimits, FlowControl } from './flow-control.ts';
export type { Place, Shortage } from './kept-place.ts';
export type { WaitingFacts } from './waiting.ts';
