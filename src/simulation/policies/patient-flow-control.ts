import { defaultRoomRule } from '../../endpoint-picker/room-rule.ts';
import { defaultLimits } from '../../flow-control/index.ts';
import type { PolicyInstance } from '../policy.ts';

/** The product's, except that nothing is refused, so that policies are compared at equal completions. */
export const patientFlowControl: PolicyInstance['flowControl'] = Object.freeze({
  room: defaultRoomRule,
  limits: Object.freeze({
    ...defaultLimits,
    maxQueuedRequests: Number.POSITIVE_INFINITY,
    maxQueuedBytes: Number.POSITIVE_INFINITY,
    defaultTtlMs: Number.POSITIVE_INFINITY,
  }),
});
